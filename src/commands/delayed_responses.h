// DelayedResponses: answers that are given some time after the request, as a slow receiver gives them.
#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <memory>

#include "http_server/server.h"
#include "loop/event_loop.h"

namespace messaging::commands {

// Loop thread only. One timer for all of them. Destroying it drops the responders: each then sends the server's default
// response.
class DelayedResponses {
public:
    explicit DelayedResponses(loop::EventLoop& loop);
    DelayedResponses(const DelayedResponses&) = delete;
    DelayedResponses& operator=(const DelayedResponses&) = delete;

    // Never answers inside this call.
    void start(std::chrono::milliseconds delay, http_server::Responder responder, http::Response response);
    std::size_t size() const { return waiting_.size(); }

private:
    using Time = std::chrono::steady_clock::time_point;
    struct Answer {
        http_server::Responder responder;
        http::Response response;
    };
    void give_due();
    void arm();

    std::multimap<Time, Answer> waiting_;
    std::unique_ptr<loop::Timer> timer_;
};

}  // namespace messaging::commands
