// RawReceiver: a receiver that answers with bytes which no HTTP server would write, on one thread, for any number of connections.
#pragma once

#include <atomic>
#include <map>
#include <string>
#include <thread>

#include "soak/acceptances.h"

namespace messaging::test {

// The first letters of the path say what it does with each request:
//   /reset    resets the connection
//   /garbage  answers with what is no HTTP
//   /huge     answers 200 with a body that does not end: the message counts as accepted
//   /flood    answers 200 with headers that do not end: likewise
//   /hang     takes the request and never answers
class RawReceiver {
public:
    explicit RawReceiver(Acceptances& acceptances);
    ~RawReceiver();
    RawReceiver(const RawReceiver&) = delete;
    RawReceiver& operator=(const RawReceiver&) = delete;

    std::string url(const std::string& path) const { return "http://127.0.0.1:" + std::to_string(port_) + path; }
    long requests() const { return requests_; }

private:
    struct Connection {
        std::string received;
        std::string endless;  // sent again and again
        std::size_t sent = 0;
        bool resets = false;
    };
    void run();
    bool read(int fd, Connection& connection);  // false: to be closed
    bool write(int fd, Connection& connection);
    bool answer(int fd, Connection& connection);
    void close(int fd, bool reset);

    Acceptances& acceptances_;
    int listener_ = -1;
    int port_ = 0;
    std::map<int, Connection> connections_;  // of thread_
    std::atomic<long> requests_{0};
    std::atomic<bool> ending_{false};
    std::thread thread_;
};

}  // namespace messaging::test
