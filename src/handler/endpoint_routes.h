// The routes of /endpoints: parse, ask the registry, encode.
#pragma once

#include <functional>
#include <string>

#include "core/result.h"
#include "handler/reply.h"
#include "service/endpoint_registry.h"

namespace messaging::handler {

// Loop thread only. The registry must outlive it.
class EndpointRoutes {
public:
    // `check_url` says what is wrong with a URL beyond the database's rules: whether it can be sent to at all.
    EndpointRoutes(service::EndpointRegistry& registry, std::function<core::Result<core::Unit>(const std::string&)> check_url)
        : registry_(registry), check_url_(std::move(check_url)) {}

    void list(const http::Request& request, const Reply& reply);
    void create(const http::Request& request, const Reply& reply);
    void get(const http::Request& request, const Reply& reply);
    void change(const http::Request& request, const Reply& reply);
    void remove(const http::Request& request, const Reply& reply);
    void disable(const http::Request& request, const Reply& reply);
    void enable(const http::Request& request, const Reply& reply);

private:
    service::EndpointRegistry& registry_;
    std::function<core::Result<core::Unit>(const std::string&)> check_url_;
};

}  // namespace messaging::handler
