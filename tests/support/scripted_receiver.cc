// A receiver on a thread of its own.
#include "support/scripted_receiver.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "commands/delayed_responses.h"
#include "http_server/server.h"

namespace messaging::test {

struct ScriptedReceiver::Inside {
    explicit Inside(loop::EventLoop& loop) : delayed(loop) {}

    std::unique_ptr<http_server::Server> server;
    commands::DelayedResponses delayed;
    std::vector<std::pair<http_server::Responder, http::Response>> hanging;

    void serve(ScriptedReceiver& receiver, const http::Request& request, http_server::Responder responder) {
        ScriptedAnswer answer = receiver.remember(request, server->pending_responses());
        http::Response response{answer.status, "application/json", std::move(answer.headers), std::move(answer.body)};
        if (answer.close) {
            responder.abort();
        } else if (answer.hang) {
            hanging.emplace_back(std::move(responder), std::move(response));
        } else if (answer.delay.count() > 0) {
            delayed.start(answer.delay, std::move(responder), std::move(response));
        } else {
            responder.send(std::move(response));
        }
    }
};

ScriptedReceiver::ScriptedReceiver(Script script, int port)
    : script_(std::move(script)), inside_(std::make_unique<Inside>(loop_)) {
    http_server::ServerOptions options;
    options.port = port;
    auto server = http_server::Server::listen(loop_, std::move(options),
                                              [this](const http::Request& request, http_server::Responder responder) {
                                                  inside_->serve(*this, request, std::move(responder));
                                              });
    if (!server) {
        std::fprintf(stderr, "scripted receiver: %s\n", server.error().message.c_str());
        std::abort();
    }
    inside_->server = std::move(server.value());
    port_ = inside_->server->port();
    thread_ = std::thread([this] { loop_.run(); });
}

ScriptedReceiver::~ScriptedReceiver() {
    loop_.stop();
    thread_.join();
}

ScriptedReceiver::Script ScriptedReceiver::accept_all() { return always({}); }

ScriptedReceiver::Script ScriptedReceiver::always(ScriptedAnswer answer) {
    return [answer = std::move(answer)](const http::Request&, std::size_t) { return answer; };
}

std::string ScriptedReceiver::url(const std::string& path) const { return "http://127.0.0.1:" + std::to_string(port_) + path; }

void ScriptedReceiver::set_script(Script script) {
    const std::lock_guard lock(mutex_);
    script_ = std::move(script);
}

void ScriptedReceiver::release() {
    loop_.post([this] {
        for (auto& [responder, response] : std::exchange(inside_->hanging, {})) responder.send(std::move(response));
    });
}

ScriptedAnswer ScriptedReceiver::remember(const http::Request& request, std::size_t in_flight) {
    Script script;
    std::size_t nth = 0;
    {
        const std::lock_guard lock(mutex_);
        script = script_;
        std::string id(request.header("webhook-id").value_or(""));
        nth = ++counts_[id];
        most_in_flight_ = std::max(most_in_flight_, in_flight);
        requests_.push_back({std::move(id), request, std::chrono::steady_clock::now()});
    }
    arrived_.notify_all();
    return script(request, nth);
}

bool ScriptedReceiver::wait_for(std::size_t count, std::chrono::milliseconds patience) {
    std::unique_lock lock(mutex_);
    return arrived_.wait_for(lock, patience, [&] { return requests_.size() >= count; });
}

bool ScriptedReceiver::wait_for_distinct(std::size_t count, std::chrono::milliseconds patience) {
    std::unique_lock lock(mutex_);
    return arrived_.wait_for(lock, patience, [&] { return counts_.size() >= count; });
}

std::vector<ReceivedRequest> ScriptedReceiver::requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
}

std::size_t ScriptedReceiver::count() const {
    const std::lock_guard lock(mutex_);
    return requests_.size();
}

std::size_t ScriptedReceiver::count(const std::string& id) const {
    const std::lock_guard lock(mutex_);
    const auto found = counts_.find(id);
    return found == counts_.end() ? 0 : found->second;
}

std::size_t ScriptedReceiver::distinct() const {
    const std::lock_guard lock(mutex_);
    return counts_.size();
}

std::optional<std::chrono::steady_clock::time_point> ScriptedReceiver::first_arrival_after(
    std::chrono::steady_clock::time_point when) const {
    const std::lock_guard lock(mutex_);
    const auto first = std::upper_bound(requests_.begin(), requests_.end(), when,
                                        [](const auto& at, const auto& request) { return at < request.at; });
    if (first == requests_.end()) return std::nullopt;
    return first->at;
}

std::size_t ScriptedReceiver::most_in_flight() const {
    const std::lock_guard lock(mutex_);
    return most_in_flight_;
}

}  // namespace messaging::test
