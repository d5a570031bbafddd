// Client: one Redis session on a loop: pipelined commands, a deadline on each, and reconnection for ever.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/random.h"
#include "core/result.h"
#include "loop/event_loop.h"

namespace messaging::redis {

struct Target {
    std::string host;  // name or address; empty when `socket` is set
    int port = 6379;
    std::string socket;  // Unix socket path
    std::string username;
    std::string password;
    int database = 0;
};

// redis://[user[:password]@]host[:port][/db] or unix:///path[?db=N]. kInvalid says what is wrong; the password is never quoted.
core::Result<Target> parse_url(const std::string& url);

struct ClientOptions {
    Target target;
    std::chrono::milliseconds connect_timeout{3000};
    std::chrono::milliseconds reply_timeout{3000};  // after this long without an answer to the oldest command the session is cut
    std::size_t max_reply_bytes = 1u << 20;         // a longer reply ends the session, and so does an array
    std::chrono::milliseconds reconnect_min{100};   // doubled per failure, with jitter
    std::chrono::milliseconds reconnect_max{5000};
};

// Loop thread only. Destroying it drops every pending completion. What Redis sends unasked, or out of its protocol, ends the
// session.
class Client {
public:
    struct Events {
        std::function<void()> on_up;                      // connected, authenticated, database selected, PING answered
        std::function<void(const core::Error&)> on_down;  // was up, is lost; pending commands have failed already
        std::function<void(const core::Error&)> on_connect_failed;
    };
    // Text of a status, string or integer reply; empty for nil. An error reply is kInternal with Redis's own words.
    using Completion = std::function<void(core::Result<std::string>)>;

    Client(loop::EventLoop& loop, core::Random& random, ClientOptions options, Events events);
    ~Client();
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    void start();
    bool up() const;
    // Completes once, later, never inside this call. Not up, or lost before the answer: kUnavailable; too slow: kTimeout.
    void command(const std::vector<std::string>& arguments, Completion done);
    std::uint64_t reconnects() const;

private:
    struct Impl;
    std::shared_ptr<Impl> impl_;
};

}  // namespace messaging::redis
