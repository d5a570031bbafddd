// Answers webhooks as the command line or the URL says.
#include "commands/receiver.h"

#include <csignal>
#include <cstdio>
#include <memory>
#include <random>
#include <utility>

#include "app/config_values.h"
#include "commands/delayed_responses.h"
#include "commands/receiver_stats.h"
#include "core/json.h"
#include "http_server/foreign.h"
#include "http_server/server.h"
#include "loop/event_loop.h"
#include "loop/signals.h"

namespace messaging::commands {
namespace {

constexpr int kLinesASecond = 50;  // more, and one line a second tells the rate instead
constexpr std::chrono::minutes kHang{5};
constexpr const char* kHelp =
    "POST webhooks to any path; ?status=503&delay=200ms&retry_after=2&hang=1&fail=0.3 changes the answer.\n"
    "GET /stats, GET /recent, POST /reset.\n";

http::Response text(int status, std::string body) { return {status, "text/plain", {}, std::move(body)}; }
http::Response json(std::string body) { return {200, "application/json", {}, std::move(body)}; }

template <typename T, typename U>
bool take(const core::Result<T>& parsed, U& into, std::string_view name, std::string& error) {
    if (parsed) {
        into = static_cast<U>(parsed.value());
    } else {
        error = std::string(name) + " " + parsed.error().message;
    }
    return parsed.ok();
}

// False with `error` set when a value of the query makes no sense.
bool apply_query(const http::Request& request, ReceiverOptions& options, std::string& error) {
    for (const auto& [name, value] : request.query) {
        if (name == "status") {
            if (!take(app::parse_integer(value, 200, 599), options.status, name, error)) return false;
        } else if (name == "delay") {
            if (!take(app::parse_duration(value), options.delay, name, error)) return false;
        } else if (name == "retry_after") {
            std::int64_t seconds = 0;
            if (!take(app::parse_integer(value, 0, 1'000'000), seconds, name, error)) return false;
            options.retry_after = std::chrono::seconds(seconds);
        } else if (name == "hang") {
            if (!take(app::parse_bool(value), options.hang, name, error)) return false;
        } else if (name == "fail") {
            if (!take(app::parse_number(value, 0, 1), options.failure_rate, name, error)) return false;
        }
    }
    return true;
}

class Receiver {
public:
    explicit Receiver(const ReceiverOptions& options)
        : options_(options),
          delayed_(loop_),
          second_timer_(loop_.make_timer([this] { on_second(); })),
          on_term_(loop_, SIGTERM, [this] { loop_.stop(); }),
          on_int_(loop_, SIGINT, [this] { loop_.stop(); }) {}

    int run() {
        http_server::ServerOptions options;
        options.address = options_.address;
        options.port = options_.port;
        options.default_response = [](int status, const std::string&) {
            return status == 500 ? text(503, "the receiver ends\n") : text(status, "not a request to serve\n");
        };
        auto server = http_server::Server::listen(
            loop_, std::move(options),
            [this](http::Request request, http_server::Responder responder) { serve(std::move(request), std::move(responder)); });
        if (!server) {
            std::fprintf(stderr, "receiver: %s\n", server.error().message.c_str());
            return 1;
        }
        server_ = std::move(server.value());
        std::printf("receiver listening on %s/\n", app::url_of(options_.address, server_->port()).c_str());
        std::fflush(stdout);
        if (!options_.quiet) second_timer_->start(std::chrono::seconds(1));
        loop_.run();
        return 0;
    }

private:
    void serve(http::Request request, http_server::Responder responder) {
        if (const auto why = http_server::why_foreign(request, {}, false)) {
            responder.send(text(403, *why + "\n"));
        } else if (request.method == "POST") {
            if (request.path == "/reset") {
                arrivals_.reset();
                responder.send(json(arrivals_.stats_json(delayed_.size())));
            } else {
                receive(std::move(request), std::move(responder));
            }
        } else if (request.method != "GET" && request.method != "HEAD") {
            http::Response response = text(405, kHelp);
            response.headers.emplace_back("Allow", "GET, HEAD, POST");
            responder.send(response);
        } else if (request.path == "/stats") {
            responder.send(json(arrivals_.stats_json(delayed_.size())));
        } else if (request.path == "/recent") {
            responder.send(json(arrivals_.recent_json()));
        } else {
            responder.send(text(request.path == "/" || request.path == "/livez" ? 200 : 404, kHelp));
        }
    }

    void receive(http::Request request, http_server::Responder responder) {
        ReceiverOptions behaviour = options_;
        std::string error;
        if (!apply_query(request, behaviour, error)) {
            responder.send(text(400, error + "\n"));
            return;
        }
        if (behaviour.failure_rate > 0 && unit_(random_) < behaviour.failure_rate) behaviour.status = 500;
        const std::string_view id = request.header("webhook-id").value_or("");
        print_line(id, request.body, behaviour);
        arrivals_.add(id, std::move(request.body), std::chrono::system_clock::now());
        if (behaviour.hang) {
            delayed_.start(kHang, std::move(responder), text(503, "hung\n"));
        } else if (behaviour.delay.count() > 0) {
            delayed_.start(behaviour.delay, std::move(responder), answer(behaviour));
        } else {
            responder.send(answer(behaviour));
        }
    }

    http::Response answer(const ReceiverOptions& behaviour) {
        if (behaviour.status <= 299) {
            return {behaviour.status, "application/json", {}, R"({"message":"Accepted","messageId":")" + uuid() + "\"}"};
        }
        http::Response refusal{behaviour.status, "application/json", {}, R"({"message":"Refused"})"};
        if (behaviour.retry_after) refusal.headers.emplace_back("Retry-After", std::to_string(behaviour.retry_after->count()));
        return refusal;
    }

    // Version 4, RFC 9562.
    std::string uuid() {
        std::string text = "xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx";
        std::uint64_t bits = random_();
        int left = 16;
        for (char& c : text) {
            if (c != 'x' && c != 'y') continue;
            if (left == 0) {
                bits = random_();
                left = 16;
            }
            const std::size_t digit = c == 'y' ? 8 + bits % 4 : bits % 16;
            c = "0123456789abcdef"[digit];
            bits /= 16;
            --left;
        }
        return text;
    }

    void print_line(std::string_view id, std::string_view body, const ReceiverOptions& behaviour) {
        ++in_this_second_;
        if (options_.quiet || flooded_ || in_this_second_ > kLinesASecond) return;
        core::JsonWriter line;  // whatever a client sends stays one line
        line.begin_object().key("id").string(id).key("to").string(recipient_of(body).value_or(""));
        line.key("bytes").integer(static_cast<std::int64_t>(body.size()));
        if (behaviour.hang) {
            line.key("hang").boolean(true);
        } else {
            line.key("status").integer(behaviour.status);
        }
        line.end_object();
        std::printf("%s\n", std::string(line.text()).c_str());
        std::fflush(stdout);
    }

    void on_second() {
        second_timer_->start(std::chrono::seconds(1));
        flooded_ = in_this_second_ > kLinesASecond;
        if (flooded_) {
            std::printf("received %d in this second, %zu in all, %zu of them repeated\n", in_this_second_, arrivals_.received(),
                        arrivals_.duplicates());
            std::fflush(stdout);
        }
        in_this_second_ = 0;
    }

    const ReceiverOptions options_;
    std::mt19937_64 random_{std::random_device{}()};
    std::uniform_real_distribution<double> unit_{0.0, 1.0};
    ReceiverStats arrivals_;
    int in_this_second_ = 0;
    bool flooded_ = false;
    loop::EventLoop loop_;
    std::unique_ptr<http_server::Server> server_;  // depends-on: loop_
    commands::DelayedResponses delayed_;           // depends-on: server_
    std::unique_ptr<loop::Timer> second_timer_;
    loop::SignalWatcher on_term_;
    loop::SignalWatcher on_int_;
};

}  // namespace

int run_receiver(const ReceiverOptions& options) { return Receiver(options).run(); }

}  // namespace messaging::commands
