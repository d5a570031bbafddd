// ScriptedReceiver: a webhook receiver inside the test, which answers as a function tells it and remembers what came.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "http/message.h"
#include "loop/event_loop.h"
#include "support/loop_runner.h"

namespace messaging::test {

struct ScriptedAnswer {
    int status = 200;
    std::string body = R"({"message":"Accepted","messageId":"67f2f8a8-ea58-4ed0-a6f9-ff217df4d849"})";
    http::Headers headers{};
    std::chrono::milliseconds delay{0};
    bool hang = false;   // no answer before release() or the receiver's end
    bool close = false;  // the connection is closed instead of an answer
};

struct ReceivedRequest {
    std::string id;  // the header webhook-id
    http::Request request;
    std::chrono::steady_clock::time_point at;
};

// All calls from any thread. The script runs on the receiver's own thread.
class ScriptedReceiver {
public:
    // nth: how often this id has come by now, from 1.
    using Script = std::function<ScriptedAnswer(const http::Request&, std::size_t nth)>;

    // Listens on 127.0.0.1 when the constructor returns. Port 0 = any free one. Aborts when it cannot listen.
    explicit ScriptedReceiver(Script script = accept_all(), int port = 0);
    ~ScriptedReceiver();  // closes every connection
    ScriptedReceiver(const ScriptedReceiver&) = delete;
    ScriptedReceiver& operator=(const ScriptedReceiver&) = delete;

    static Script accept_all();
    static Script always(ScriptedAnswer answer);

    int port() const { return port_; }
    std::string url(const std::string& path = "/") const;
    void set_script(Script script);
    void release();  // answers what hangs

    // True once `count` requests have come, repeated ones included; false at the deadline.
    bool wait_for(std::size_t count, std::chrono::milliseconds patience = kPatience);
    bool wait_for_distinct(std::size_t count, std::chrono::milliseconds patience = kPatience);
    std::vector<ReceivedRequest> requests() const;  // in order of arrival
    std::size_t count() const;
    std::size_t count(const std::string& id) const;
    std::size_t distinct() const;
    std::optional<std::chrono::steady_clock::time_point> first_arrival_after(std::chrono::steady_clock::time_point when) const;
    std::size_t most_in_flight() const;  // requests without an answer at one time, at the most so far

private:
    struct Inside;
    ScriptedAnswer remember(const http::Request& request, std::size_t in_flight);

    mutable std::mutex mutex_;  // guards what follows up to the loop
    std::condition_variable arrived_;
    Script script_;
    std::vector<ReceivedRequest> requests_;
    std::map<std::string, std::size_t> counts_;
    std::size_t most_in_flight_ = 0;

    loop::EventLoop loop_;
    std::unique_ptr<Inside> inside_;  // used by thread_ only, once it runs
    int port_ = 0;
    std::thread thread_;
};

}  // namespace messaging::test
