// Api: every HTTP route, who may use it, and what each request is called in log and metrics.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/clock.h"
#include "core/random.h"
#include "handler/endpoint_routes.h"
#include "handler/event_routes.h"
#include "handler/message_routes.h"
#include "handler/pages.h"
#include "handler/replay_routes.h"
#include "http_server/router.h"
#include "service/control_store.h"
#include "service/endpoint_registry.h"
#include "service/endpoint_tester.h"
#include "service/event_store.h"
#include "service/message_store.h"
#include "service/replay_store.h"
#include "service/secret_store.h"

namespace messaging::handler {

struct Check {
    std::string name;
    bool ok = false;
    bool critical = true;
    std::string reason{};  // why it is not ok
};

struct ServedRequest {
    std::string_view id;
    std::string_view method;
    std::string_view route;  // the pattern; "unmatched" for none
    int status = 0;
    std::chrono::microseconds elapsed{0};
};

// Whether requests of this route are answered from PostgreSQL.
bool uses_postgres(std::string_view route);

struct ApiOptions {
    std::string token;               // empty = open to everybody who reaches the port
    std::vector<std::string> hosts;  // names under which clients call the API; addresses and localhost are always allowed
    std::size_t max_content_bytes = 4096;
    std::string docs_dir;
    UrlChecks url_checks;  // of endpoints
    std::function<std::vector<Check>()> checks;
    std::function<std::string()> metrics_text;
    std::function<void(const ServedRequest&)> on_request;
    Reply::OnFault on_fault;
};

struct ApiStores {
    service::MessageStore& messages;
    service::EndpointRegistry& endpoints;
    service::EventStore& events;
    service::ReplayStore& replays;
    service::SecretStore& secrets;
    service::ControlStore& control;
    service::EndpointTester& tester;
};

// Loop thread only. The stores and the random source must outlive it, and it must outlive every answer.
class Api {
public:
    Api(ApiStores stores, const core::Clock& clock, core::Random& random, ApiOptions options);
    http_server::RequestHandler handler();
    // For http_server::ServerOptions: what is answered where no handler is asked, and what is refused before its body is read.
    http::Response default_response(int status, const std::string& why);
    std::optional<http::Response> screen(const http::Request& request);

private:
    void add_routes();
    void add(const char* method, const char* pattern, bool guarded,
             std::function<void(const http::Request&, const Reply&)> route);
    std::string new_request_id();
    // Nothing: the request may go on to its route, if there is one.
    std::optional<Problem> judge(const http::Request& request) const;
    void index(const Reply& reply) const;
    void set_running(bool running, const http::Request& request, const Reply& reply);
    void status(const Reply& reply);
    void metrics(const Reply& reply) const;
    void ready(const http::Request& request, const Reply& reply) const;
    void docs(const http::Request& request, const Reply& reply) const;

    service::ControlStore& control_;
    const core::Clock& clock_;
    core::Random& random_;
    ApiOptions options_;
    MessageRoutes messages_;
    EndpointRoutes endpoints_;
    EventRoutes events_;
    ReplayRoutes replays_;
    Pages pages_;
    http_server::Router router_;
    std::set<std::string, std::less<>> open_;  // patterns that need no token
};

}  // namespace messaging::handler
