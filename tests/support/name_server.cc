// Debian's dnsmasq as a child. It reads a file in the format of /etc/hosts anew on SIGHUP.
#include "support/name_server.h"

#include <gtest/gtest.h>
#include <netdb.h>
#include <unistd.h>

#include <csignal>
#include <fstream>

#include "support/loop_runner.h"

namespace messaging::test {
namespace {

constexpr const char* kProgram = "/usr/sbin/dnsmasq";  // where only root's PATH leads

void write_file(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

bool is_known(const std::string& name) {
    addrinfo* found = nullptr;
    if (getaddrinfo(name.c_str(), nullptr, nullptr, &found) != 0) return false;
    freeaddrinfo(found);
    return true;
}

}  // namespace

std::string NameServer::why_not() {
    return access(kProgram, X_OK) == 0 ? "" : "dnsmasq is not here (Debian package dnsmasq-base)";
}

NameServer::NameServer() { set({}); }

// Names of .test are its own: those that it does not know do not exist.
void NameServer::start() {
    ProcessOptions run;
    run.arguments = {kProgram,
                     "--keep-in-foreground",
                     "--conf-file=/dev/null",
                     "--pid-file=",
                     "--no-resolv",
                     "--no-hosts",
                     "--local=/test/",
                     "--addn-hosts=" + hosts(),
                     "--port=53",
                     "--listen-address=127.0.0.1",
                     "--bind-interfaces",
                     "--log-facility=-"};
    // Root's would change to a user who has no right to the directory.
    if (geteuid() == 0) run.arguments.emplace_back("--user=root");
    run.output_file = log();
    server_.emplace(run);
}

void NameServer::set(const Names& names) {
    const std::string mark = "change-" + std::to_string(++changes_) + ".test";
    std::string lines = "127.0.0.1 " + mark + "\n";
    for (const auto& [name, addresses] : names) {
        for (const std::string& address : addresses) lines.append(address).append(" ").append(name).append("\n");
    }
    write_file(hosts(), lines);
    if (server_) {
        server_->send(SIGHUP);
    } else {
        start();
    }
    EXPECT_TRUE(wait_until([&] { return is_known(mark); })) << read_text_file(log());
}

}  // namespace messaging::test
