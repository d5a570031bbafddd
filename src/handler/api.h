// Api: the HTTP routes: parse, ask the service's stores, encode.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "handler/requests.h"
#include "http/router.h"
#include "service/message_store.h"

namespace messaging::handler {

struct Check {
    std::string name;
    bool ok = false;
    bool critical = true;
};

struct ApiOptions {
    std::string token;  // empty = open to everybody who reaches the port
    std::size_t max_content_bytes = 4096;
    std::string docs_dir;
    std::function<std::vector<Check>()> checks;
    std::function<std::string()> metrics_text;
    std::function<void(std::string_view method, std::string_view route, int status, std::chrono::microseconds took)> on_request;
};

// Loop thread only. The stores must outlive it.
class Api {
public:
    Api(service::MessageStore& messages, service::ControlStore& control, ApiOptions options);
    http::RequestHandler handler();
    static http::Response too_large();
    static http::Response forgotten();

private:
    void add_routes();
    bool allowed(const http::Request& request) const;
    void set_running(bool running, const http::Request& request, http::Responder responder);
    void start(const http::Request& request, http::Responder responder);
    void stop(const http::Request& request, http::Responder responder);
    void status(const http::Request& request, http::Responder responder);
    void metrics(const http::Request& request, http::Responder responder);
    void live(const http::Request& request, http::Responder responder);
    void list(const http::Request& request, http::Responder responder);
    void create(const http::Request& request, http::Responder responder);
    void get(const http::Request& request, http::Responder responder);
    void retry(const http::Request& request, http::Responder responder);
    void ready(const http::Request& request, http::Responder responder);
    void docs(const http::Request& request, http::Responder responder);

    service::MessageStore& messages_;
    service::ControlStore& control_;
    ApiOptions options_;
    http::Router router_;
};

}  // namespace messaging::handler
