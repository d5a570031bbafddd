// Router: method and path pattern to handler; knows which methods a path has, so that 404 and 405 are told apart.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http_server/server.h"

namespace messaging::http_server {

// Filled once, then only read. HEAD is served by GET's route (the server drops the body).
class Router {
public:
    using Fallback =
        std::function<void(http::Request, Responder, const std::string& allow)>;  // allow: see allowed_instead(); empty for 404

    explicit Router(Fallback fallback) : fallback_(std::move(fallback)) {}

    // Pattern segments: literal, {name} (one segment, not empty).
    void add(std::string method, std::string pattern, RequestHandler handler);
    void route(http::Request request, Responder responder) const;
    // The methods that the path takes instead of this one ("GET, HEAD, POST"), empty for an unknown path. Nothing when the path
    // takes this method.
    std::optional<std::string> allowed_instead(std::string_view method, std::string_view path) const;
    static constexpr std::string_view kUnmatched = "unmatched";
    // The pattern that serves this path ("/messages/{id}"), for metric labels; kUnmatched when none.
    std::string_view pattern_of(std::string_view path) const;

private:
    struct Route {
        std::string method;
        std::string pattern;
        std::vector<std::string> segments;
        RequestHandler handler;
    };
    std::vector<Route> routes_;
    Fallback fallback_;
};

}  // namespace messaging::http_server
