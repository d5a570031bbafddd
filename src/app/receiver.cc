// Counting what arrives.
#include "app/receiver.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <unordered_map>
#include <unordered_set>

#include "app/config_values.h"
#include "app/real_world.h"
#include "core/json.h"
#include "http/server.h"
#include "loop/event_loop.h"
#include "loop/signals.h"

namespace messaging::app {
namespace {

constexpr std::size_t kRecent = 50;             // bodies kept for GET /recent
constexpr std::size_t kMaxCounted = 10'000'000;  // distinct ids; beyond, only the total goes on
constexpr int kLinesASecond = 20;               // printed; the rest is only counted

class Receiver {
public:
    explicit Receiver(const ReceiverOptions& options)
        : options_(options),
          line_timer_(loop_.make_timer([this] { next_second(); })),
          on_term_(loop_, SIGTERM, [this] { loop_.stop(); }),
          on_int_(loop_, SIGINT, [this] { loop_.stop(); }) {}

    int run() {
        http::ServerOptions options;
        options.address = options_.address;
        options.port = options_.port;
        options.on_too_large = [] { return http::Response{413, "text/plain", {}, "too large\n"}; };
        options.on_forgotten = [] { return http::Response{503, "text/plain", {}, "ending\n"}; };
        auto server = http::Server::listen(loop_, std::move(options), [this](http::Request request, http::Responder responder) {
            serve(request, std::move(responder));
        });
        if (!server) {
            std::fprintf(stderr, "receiver: %s\n", server.error().message.c_str());
            return 1;
        }
        std::printf("receiver listening on http://%s:%d/\n", options_.address.c_str(), server.value()->port());
        std::fflush(stdout);
        line_timer_->start(std::chrono::seconds(1));
        loop_.run();
        return 0;
    }

private:
    void serve(const http::Request& request, http::Responder responder) {
        if (request.method == "GET" && request.path == "/stats") {
            responder.send({200, "application/json", {}, stats()});
        } else if (request.method == "GET" && request.path == "/recent") {
            responder.send({200, "application/json", {}, recent()});
        } else if (request.method == "POST" && request.path == "/reset") {
            seen_.clear();
            recent_.clear();
            received_ = 0;
            duplicates_ = 0;
            responder.send({200, "application/json", {}, stats()});
        } else if (request.method == "POST") {
            take(request, std::move(responder));
        } else {
            responder.send({405, "text/plain", {{"Allow", "POST"}}, "POST messages here; GET /stats, /recent\n"});
        }
    }

    void take(const http::Request& request, http::Responder responder) {
        const std::string id(request.header("webhook-id").value_or(""));
        ++received_;
        if (seen_.size() < kMaxCounted && !seen_.insert(id).second) ++duplicates_;
        recent_.push_back({id, request.body});
        if (recent_.size() > kRecent) recent_.pop_front();
        if (!options_.quiet && printed_++ < kLinesASecond) {
            std::printf("received %s %s\n", id.c_str(), request.body.c_str());
            std::fflush(stdout);
        }
        int status = options_.status;
        if (const auto text = request.query_parameter("status")) status = std::atoi(std::string(*text).c_str());
        if (options_.failure_rate > 0 && random_.next_unit() < options_.failure_rate) status = 500;
        auto delay = options_.delay;
        if (const auto text = request.query_parameter("delay")) {
            const auto parsed = parse_duration(std::string(*text));
            if (parsed) delay = parsed.value();
        }
        http::Response response{status, "application/json", {}, accepted()};
        if (delay.count() == 0) {
            responder.send(std::move(response));
        } else {
            answer_later(delay, std::move(responder), std::move(response));
        }
    }

    void answer_later(std::chrono::milliseconds delay, http::Responder responder, http::Response response) {
        const std::uint64_t key = ++next_delayed_;
        const auto shared = std::make_shared<std::pair<http::Responder, http::Response>>(std::move(responder), std::move(response));
        auto& timer = delayed_[key];
        timer = loop_.make_timer([this, key, shared] {
            shared->first.send(std::move(shared->second));
            delayed_.erase(key);
        });
        timer->start(delay);
    }

    std::string accepted() {
        core::JsonWriter json;
        json.begin_object().key("message").string("Accepted").key("messageId").string(uuid()).end_object();
        return std::string(json.text());
    }

    // Version 4, RFC 9562.
    std::string uuid() {
        std::string text = "xxxxxxxx-xxxx-4xxx-8xxx-xxxxxxxxxxxx";
        for (char& c : text) {
            if (c == 'x') c = "0123456789abcdef"[static_cast<std::size_t>(random_.next_unit() * 16)];
        }
        return text;
    }

    std::string stats() const {
        core::JsonWriter json;
        json.begin_object().key("received").integer(static_cast<std::int64_t>(received_));
        json.key("distinct").integer(static_cast<std::int64_t>(seen_.size()));
        json.key("duplicates").integer(static_cast<std::int64_t>(duplicates_));
        json.key("in_flight").integer(static_cast<std::int64_t>(delayed_.size())).end_object();
        return std::string(json.text());
    }

    std::string recent() const {
        core::JsonWriter json;
        json.begin_array();
        for (const auto& [id, body] : recent_) json.begin_object().key("id").string(id).key("body").string(body).end_object();
        json.end_array();
        return std::string(json.text());
    }

    void next_second() {
        line_timer_->start(std::chrono::seconds(1));
        if (printed_ > kLinesASecond) {
            std::printf("… and %d more in this second; %zu so far\n", printed_ - kLinesASecond, received_);
            std::fflush(stdout);
        }
        printed_ = 0;
    }

    const ReceiverOptions options_;
    RealRandom random_;
    loop::EventLoop loop_;
    std::unordered_set<std::string> seen_;
    std::deque<std::pair<std::string, std::string>> recent_;
    std::unordered_map<std::uint64_t, std::unique_ptr<loop::Timer>> delayed_;
    std::uint64_t next_delayed_ = 0;
    std::size_t received_ = 0;
    std::size_t duplicates_ = 0;
    int printed_ = 0;
    std::unique_ptr<loop::Timer> line_timer_;
    loop::SignalWatcher on_term_;
    loop::SignalWatcher on_int_;
};

}  // namespace

int run_receiver(const ReceiverOptions& options) {
    std::signal(SIGPIPE, SIG_IGN);
    return Receiver(options).run();
}

}  // namespace messaging::app
