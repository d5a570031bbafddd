// redis-server as a child, redis-cli as the second opinion.
#include "support/private_redis.h"

#include <cstdio>
#include <cstdlib>
#include <utility>

namespace messaging::test {

PrivateRedis::PrivateRedis(std::string password) : password_(std::move(password)) { start(); }

PrivateRedis::~PrivateRedis() {
    resume();
    stop();
}

std::string PrivateRedis::url(int database) const {
    const std::string user = password_.empty() ? "" : ":" + password_ + "@";
    return "redis://" + user + "127.0.0.1:" + std::to_string(port_) + "/" + std::to_string(database);
}

void PrivateRedis::start() {
    const std::string log = directory_.path() + "/log";
    // Another process may take the free port first, once; after that the port stays, as clients know it.
    for (int attempt = 0; attempt < (port_ == 0 ? 3 : 1); ++attempt) {
        const int port = port_ == 0 ? free_port() : port_;
        ProcessOptions options;
        options.arguments = {"redis-server",    "--port",      std::to_string(port),
                             "--bind",          "127.0.0.1",   "--unixsocket",
                             socket_path(),     "--save",      "",
                             "--appendonly",    "no",          "--dir",
                             directory_.path(), "--daemonize", "no"};
        if (!password_.empty()) options.arguments.insert(options.arguments.end(), {"--requirepass", password_});
        options.output_file = log;
        server_ = std::make_unique<Process>(options);
        const int previous = std::exchange(port_, port);
        const auto answers = [this] { return run({"PING"}) == "PONG"; };
        if (wait_until([&] { return !server_->running() || answers(); }) && server_->running()) return;
        port_ = previous;
    }
    std::fprintf(stderr, "private Redis does not start: %s\n", read_text_file(log).c_str());
    std::abort();
}

void PrivateRedis::stop() {
    if (!server_) return;
    server_->stop(SIGKILL);
    server_.reset();
}

void PrivateRedis::pause() {
    if (server_) server_->send(SIGSTOP);
}

void PrivateRedis::resume() {
    if (server_) server_->send(SIGCONT);
}

std::string PrivateRedis::run(std::vector<std::string> arguments) const {
    ProcessOptions options;
    options.arguments = {"redis-cli", "-p", std::to_string(port_)};
    if (!password_.empty()) options.environment.emplace_back("REDISCLI_AUTH", password_);
    options.arguments.insert(options.arguments.end(), arguments.begin(), arguments.end());
    std::string output = run_command(options).output;
    while (!output.empty() && output.back() == '\n') output.pop_back();
    return output;
}

}  // namespace messaging::test
