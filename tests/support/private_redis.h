// PrivateRedis: a Redis server of the test's own, in a temporary directory, without persistence.
#pragma once

#include <memory>
#include <string>

#include "support/process.h"

namespace messaging::test {

// Listens on a free TCP port of 127.0.0.1 and on a Unix socket. A server that cannot be started ends the test with its log.
class PrivateRedis {
public:
    explicit PrivateRedis(std::string password = "");
    ~PrivateRedis();
    PrivateRedis(const PrivateRedis&) = delete;
    PrivateRedis& operator=(const PrivateRedis&) = delete;

    std::string url(int database = 0) const;
    std::string socket_path() const { return directory_.path() + "/redis.sock"; }
    int port() const { return port_; }

    void start();
    void stop();    // with all of its data
    void pause();   // SIGSTOP: connections are accepted by the kernel, and nothing answers
    void resume();  // SIGCONT

    // Runs one command through redis-cli; answers its raw output without the last line end.
    std::string run(std::vector<std::string> arguments) const;

private:
    TemporaryDirectory directory_;
    std::string password_;
    int port_ = 0;
    std::unique_ptr<Process> server_;  // depends-on: directory_
};

}  // namespace messaging::test
