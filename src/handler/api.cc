// The table of routes, the checks before a route, and the answers that need no store.
#include "handler/api.h"

#include <algorithm>
#include <utility>

#include "crypto/digest.h"
#include "handler/encode.h"
#include "handler/requests.h"
#include "http/text.h"
#include "http_server/foreign.h"
#include "service/control_store.h"

namespace messaging::handler {
namespace {

Answer plain(int status, const char* message) { return {status, message, {}, {}}; }

bool is_health(std::string_view pattern) { return pattern == "/livez" || pattern == "/readyz"; }

void write_checks(core::JsonWriter& json, const std::vector<Check>& checks) {
    json.begin_array();
    for (const Check& check : checks) {
        json.begin_object().key("name").string(check.name).key("ok").boolean(check.ok);
        json.key("critical").boolean(check.critical);
        write_optional(json, "reason", check.reason.empty() ? std::nullopt : std::optional(check.reason));
        json.end_object();
    }
    json.end_array();
}

struct Refusal {
    Problem problem;
    http::Headers headers;
};

Refusal no_route(const std::string& allow) {
    if (allow.empty()) return {{404, "path_not_found", "there is nothing at this path: see /docs/index.html"}, {}};
    return {{405, "method_not_allowed", "this path takes " + allow}, {{"Allow", allow}}};
}

// What follows the scheme, which is a word in any case (RFC 9110, 11.4).
std::string_view bearer_token(const http::Request& request) {
    constexpr std::string_view kScheme = "Bearer ";
    const std::string_view value = request.header("authorization").value_or("");
    if (!http::equal_ignoring_case(value.substr(0, kScheme.size()), kScheme)) return {};
    return http::trimmed(value.substr(kScheme.size()));
}

// For calls without parameters: one that is ignored would look as if it had worked. Probes, scrapers and pages may add what they
// like.
template <typename Route>
auto without_parameters(Route route) {
    return [route = std::move(route)](const http::Request& request, const Reply& reply) {
        if (const auto problem = check_parameters(request, {})) return reply.send(*problem);
        route(request, reply);
    };
}

}  // namespace

bool uses_postgres(std::string_view route) {
    return route == "/start" || route == "/stop" || route == "/status" || route.starts_with("/messages") ||
           route.starts_with("/endpoints") || route.starts_with("/events") || route.starts_with("/replays");
}

Api::Api(ApiStores stores, const core::Clock& clock, core::Random& random, ApiOptions options)
    : control_(stores.control),
      clock_(clock),
      random_(random),
      options_(std::move(options)),
      messages_(stores.messages, stores.endpoints, options_.max_content_bytes),
      endpoints_(stores.endpoints, stores.secrets, stores.tester, options_.url_checks),
      events_(stores.events, options_.max_content_bytes),
      replays_(stores.replays),
      pages_(options_.docs_dir),
      router_([this](const http::Request& request, http_server::Responder responder, const std::string& allow) {
          const Reply reply(std::move(responder), request.id, options_.on_fault);
          const Refusal refusal = no_route(allow);
          reply.send(refusal.problem, refusal.headers);
      }) {
    add_routes();
}

void Api::add_routes() {
    constexpr bool kGuarded = true;
    constexpr bool kOpen = false;
    add("GET", "/", kOpen, [this](const auto&, const Reply& reply) { index(reply); });
    add("POST", "/start", kGuarded,
        without_parameters([this](const auto& request, const Reply& reply) { set_running(true, request, reply); }));
    add("POST", "/stop", kGuarded,
        without_parameters([this](const auto& request, const Reply& reply) { set_running(false, request, reply); }));
    add("GET", "/status", kGuarded, without_parameters([this](const auto&, const Reply& reply) { status(reply); }));
    add("GET", "/messages", kGuarded, [this](const auto& request, const Reply& reply) { messages_.list(request, reply); });
    add("POST", "/messages", kGuarded,
        without_parameters([this](const auto& request, const Reply& reply) { messages_.create(request, reply); }));
    add("GET", "/messages/{id}", kGuarded,
        without_parameters([this](const auto& request, const Reply& reply) { messages_.get(request, reply); }));
    add("POST", "/messages/{id}/retry", kGuarded,
        without_parameters([this](const auto& request, const Reply& reply) { messages_.retry(request, reply); }));
    add("POST", "/messages/{id}/cancel", kGuarded,
        without_parameters([this](const auto& request, const Reply& reply) { messages_.cancel(request, reply); }));
    add("GET", "/endpoints", kGuarded, [this](const auto& request, const Reply& reply) { endpoints_.list(request, reply); });
    add("POST", "/endpoints", kGuarded,
        without_parameters([this](const auto& request, const Reply& reply) { endpoints_.create(request, reply); }));
    add("GET", "/endpoints/{id}", kGuarded,
        without_parameters([this](const auto& request, const Reply& reply) { endpoints_.get(request, reply); }));
    add("PATCH", "/endpoints/{id}", kGuarded,
        without_parameters([this](const auto& request, const Reply& reply) { endpoints_.change(request, reply); }));
    add("DELETE", "/endpoints/{id}", kGuarded,
        without_parameters([this](const auto& request, const Reply& reply) { endpoints_.remove(request, reply); }));
    add("POST", "/endpoints/{id}/disable", kGuarded,
        without_parameters([this](const auto& request, const Reply& reply) { endpoints_.disable(request, reply); }));
    add("POST", "/endpoints/{id}/enable", kGuarded,
        without_parameters([this](const auto& request, const Reply& reply) { endpoints_.enable(request, reply); }));
    add("GET", "/endpoints/{id}/secret", kGuarded,
        without_parameters([this](const auto& request, const Reply& reply) { endpoints_.read_secret(request, reply); }));
    add("POST", "/endpoints/{id}/secret/rotate", kGuarded,
        without_parameters([this](const auto& request, const Reply& reply) { endpoints_.rotate_secret(request, reply); }));
    add("POST", "/endpoints/{id}/test", kGuarded,
        without_parameters([this](const auto& request, const Reply& reply) { endpoints_.test(request, reply); }));
    add("GET", "/events", kGuarded, [this](const auto& request, const Reply& reply) { events_.list(request, reply); });
    add("POST", "/events", kGuarded,
        without_parameters([this](const auto& request, const Reply& reply) { events_.create(request, reply); }));
    add("GET", "/events/{id}", kGuarded,
        without_parameters([this](const auto& request, const Reply& reply) { events_.get(request, reply); }));
    add("GET", "/replays", kGuarded, [this](const auto& request, const Reply& reply) { replays_.list(request, reply); });
    add("POST", "/replays", kGuarded,
        without_parameters([this](const auto& request, const Reply& reply) { replays_.create(request, reply); }));
    add("GET", "/replays/{id}", kGuarded,
        without_parameters([this](const auto& request, const Reply& reply) { replays_.get(request, reply); }));
    add("POST", "/replays/{id}/cancel", kGuarded,
        without_parameters([this](const auto& request, const Reply& reply) { replays_.cancel(request, reply); }));
    add("GET", "/metrics", kGuarded, [this](const auto&, const Reply& reply) { metrics(reply); });
    for (const char* folder : {"/docs", "/docs/"}) {
        add("GET", folder, kOpen, [](const auto&, const Reply& reply) {
            reply.send(http::Response{302, "", {{"Location", "/docs/index.html"}}, ""});
        });
    }
    add("GET", "/docs/{file}", kOpen, [this](const auto& request, const Reply& reply) { docs(request, reply); });
    add("GET", "/livez", kOpen, [](const auto&, const Reply& reply) { reply.send(plain(200, "alive")); });
    add("GET", "/readyz", kOpen, [this](const auto& request, const Reply& reply) { ready(request, reply); });
}

void Api::add(const char* method, const char* pattern, bool guarded,
              std::function<void(const http::Request&, const Reply&)> route) {
    if (!guarded) open_.insert(pattern);
    router_.add(method, pattern,
                [this, route = std::move(route)](const http::Request& request, http_server::Responder responder) {
                    route(request, Reply(std::move(responder), request.id, options_.on_fault));
                });
}

std::optional<Problem> Api::judge(const http::Request& request) const {
    const std::string_view pattern = router_.pattern_of(request.path);
    // With a token a page that reaches the API by a foreign name can do nothing: it does not have it.
    const bool check_host = options_.token.empty() && !is_health(pattern);
    if (auto why = http_server::why_foreign(request, options_.hosts, check_host)) return Problem{403, "foreign_request", *why};
    const bool guarded = pattern != http_server::Router::kUnmatched && !open_.contains(pattern) && !options_.token.empty();
    if (guarded && !crypto::constant_time_equal(bearer_token(request), options_.token)) {
        return Problem{401, "unauthorized", "send the header Authorization: Bearer with the API token"};
    }
    return std::nullopt;
}

std::optional<http::Response> Api::screen(const http::Request& request) {
    Refusal refusal;
    if (auto problem = judge(request)) {
        refusal.problem = std::move(*problem);
    } else if (const auto allow = router_.allowed_instead(request.method, request.path)) {
        refusal = no_route(*allow);
    } else {
        return std::nullopt;
    }
    const std::string id = choose_request_id(request, new_request_id());
    options_.on_request({id, request.method, router_.pattern_of(request.path), refusal.problem.status, {}});
    auto response = to_response(refusal.problem, id);
    response.headers.insert(response.headers.end(), refusal.headers.begin(), refusal.headers.end());
    return response;
}

http::Response Api::default_response(int status, const std::string& why) {
    const Problem problem = refusal(status, why);
    const std::string id = new_request_id();
    if (problem.status == 500) options_.on_fault(id, {core::ErrorKind::kInternal, kUnansweredReason});
    return to_response(problem, id);
}

http_server::RequestHandler Api::handler() {
    return [this](http::Request request, http_server::Responder responder) {
        request.id = choose_request_id(request, new_request_id());
        responder.on_sent([this, id = request.id, began = clock_.mono(), method = request.method,
                           route = router_.pattern_of(request.path)](int status) {
            const auto elapsed = clock_.mono() - began;
            options_.on_request({id, method, route, status, std::chrono::duration_cast<std::chrono::microseconds>(elapsed)});
        });
        if (auto problem = judge(request)) {
            Reply(std::move(responder), request.id, options_.on_fault).send(*problem);
        } else {
            router_.route(std::move(request), std::move(responder));
        }
    };
}

std::string Api::new_request_id() {
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string id;
    for (int i = 0; i < 16; ++i) id.push_back(kDigits[static_cast<std::size_t>(random_.next_unit() * 16)]);
    return id;
}

void Api::index(const Reply& reply) const {
    reply.send(Answer{200,
                      "Messaging System: messages from PostgreSQL to webhooks",
                      [](core::JsonWriter& json) {
                          json.begin_object().key("docs").string("/docs/index.html").key("openapi").string("/docs/openapi.json");
                          json.key("status").string("/status").key("metrics").string("/metrics").end_object();
                      },
                      {}});
}

void Api::set_running(bool running, const http::Request& request, const Reply& reply) {
    control_.set_running(running, "api " + request.peer, [reply, running](const core::Result<service::ServiceState>& state) {
        if (!state) return reply.send(state.error());
        reply.send(Answer{200,
                          running ? "sending is on" : "sending is off: what is in flight finishes",
                          [&](core::JsonWriter& json) { write_state(json, state.value()); },
                          {}});
    });
}

void Api::status(const Reply& reply) {
    control_.read_status([reply](const core::Result<service::StatusView>& status) {
        if (!status) return reply.send(status.error());
        reply.send(Answer{200, "ok", [&](core::JsonWriter& json) { write_status(json, status.value()); }, {}});
    });
}

void Api::metrics(const Reply& reply) const {
    http::Response response;
    response.content_type = "text/plain; version=0.0.4; charset=utf-8";
    response.body = options_.metrics_text();
    reply.send(std::move(response));
}

void Api::ready(const http::Request& request, const Reply& reply) const {
    const auto checks = options_.checks();
    const auto is_fine = [](const Check& check) { return check.ok || !check.critical; };
    if (!std::all_of(checks.begin(), checks.end(), is_fine)) {
        const auto meta = [&](core::JsonWriter& json) { write_checks(json.key("checks"), checks); };
        return reply.send(Problem{503, "not_ready", "not ready: meta.checks says why", {}, meta});
    }
    const bool verbose = request.query_parameter("verbose").has_value();
    const auto data = [&](core::JsonWriter& json) { write_checks(json, verbose ? checks : std::vector<Check>()); };
    reply.send(Answer{200, "ready", data, {}});
}

void Api::docs(const http::Request& request, const Reply& reply) const {
    const std::string file(request.path_parameter("file"));
    if (!pages_.has(file))
        return reply.send(Problem{404, "path_not_found", "there is no such page; `make docs` builds the pages"});
    reply.send(pages_.answer(file, request));
}

}  // namespace messaging::handler
