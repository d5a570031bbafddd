#include "support/nginx.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <sstream>
#include <utility>

#include "support/loop_runner.h"

namespace messaging::test {
namespace {

// Debian has it where only root's PATH leads.
std::string program() {
    for (const char* path : {"/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx"}) {
        if (access(path, X_OK) == 0) return path;
    }
    return "";
}

std::string configuration(const NginxOptions& options, const std::string& directory, int port) {
    std::ostringstream text;
    // Root's workers would have no right to the directory.
    if (geteuid() == 0) text << "user root;\n";
    text << "daemon off;\nworker_processes 2;\nworker_shutdown_timeout 10s;\npid " << directory << "/pid;\nerror_log "
         << directory << "/error.log notice;\n"
         << "events { worker_connections 256; }\nhttp {\n"
         << "log_format requests '$http_webhook_id $status $connection_requests';\naccess_log " << directory
         << "/access.log requests;\n";
    for (const char* kind : {"client_body", "proxy", "fastcgi", "uwsgi", "scgi"}) {
        text << kind << "_temp_path " << directory << "/" << kind << ";\n";
    }
    text << options.http << "\nserver {\nlisten 127.0.0.1:" << port << (options.tls ? " ssl" : "")
         << (options.http2 ? " http2" : "") << ";\n";
    if (options.tls) {
        text << "ssl_certificate " << directory << "/certificate.pem;\nssl_certificate_key " << directory << "/key.pem;\n";
    }
    // A `return` in the location itself would come before the limits of requests.
    text << options.server << "\nlocation / { try_files /nothing @accepted; }\nlocation @accepted { return 204; }\n}\n}\n";
    return text.str();
}

void make_certificate(const std::string& directory) {
    ProcessOptions make;
    make.arguments = {"openssl",  "req",
                      "-x509",    "-newkey",
                      "rsa:2048", "-nodes",
                      "-days",    "2",
                      "-subj",    "/CN=localhost",
                      "-addext",  "subjectAltName=IP:127.0.0.1",
                      "-keyout",  directory + "/key.pem",
                      "-out",     directory + "/certificate.pem"};
    const CommandResult made = run_command(make);
    EXPECT_EQ(made.exit_code, 0) << made.output;
}

long occurrences(const std::string& text, const std::string& word) {
    long count = 0;
    for (std::size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) ++count;
    return count;
}

}  // namespace

std::string Nginx::why_not() { return program().empty() ? "nginx is not here (Debian package nginx)" : ""; }

Nginx::Nginx(NginxOptions options) : options_(std::move(options)), port_(free_port()) {
    if (options_.tls) make_certificate(directory_.path());
    std::ofstream(directory_.path() + "/nginx.conf") << configuration(options_, directory_.path(), port_);
    start();
}

// By SIGKILL its workers would stay.
Nginx::~Nginx() {
    if (master_) stop(SIGTERM);
}

long Nginx::workers_begun() const { return occurrences(read_text_file(error_log()), "start worker process "); }

// The master listens before its workers begin.
void Nginx::start() {
    const long before = workers_begun();
    ProcessOptions run;
    run.arguments = {program(), "-p", directory_.path(), "-e", error_log(), "-c", directory_.path() + "/nginx.conf"};
    run.output_file = directory_.path() + "/output";
    run.death_signal = SIGTERM;
    master_.emplace(run);
    EXPECT_TRUE(wait_until([&] { return workers_begun() > before; }))
        << read_text_file(run.output_file) << read_text_file(error_log());
}

void Nginx::stop(int signal_number) {
    EXPECT_TRUE(master_->stop(signal_number)) << read_text_file(error_log());
    master_.reset();
}

void Nginx::reload() {
    const long before = workers_begun();
    master_->send(SIGHUP);
    EXPECT_TRUE(wait_until([&] { return workers_begun() > before; })) << read_text_file(error_log());
}

std::vector<LoggedRequest> Nginx::log() const {
    std::vector<LoggedRequest> requests;
    std::istringstream lines(read_text_file(directory_.path() + "/access.log"));
    LoggedRequest request;
    while (lines >> request.webhook_id >> request.status >> request.place) requests.push_back(request);
    return requests;
}

}  // namespace messaging::test
