// The routes of /endpoints: parse, ask the registry, encode.
#pragma once

#include <functional>
#include <string>
#include <utility>

#include "core/result.h"
#include "handler/reply.h"
#include "service/endpoint_registry.h"

namespace messaging::handler {

// What is wrong with the URL of an endpoint.
using CheckUrl = std::function<core::Result<core::Unit>(const std::string& url)>;

struct UrlChecks {
    CheckUrl form;     // whether it can be sent to at all
    CheckUrl address;  // whether its host may be connected to, as far as that is known without a look-up
};

// Loop thread only. The registry must outlive it.
class EndpointRoutes {
public:
    EndpointRoutes(service::EndpointRegistry& registry, UrlChecks checks) : registry_(registry), checks_(std::move(checks)) {}

    void list(const http::Request& request, const Reply& reply);
    void create(const http::Request& request, const Reply& reply);
    void get(const http::Request& request, const Reply& reply);
    void change(const http::Request& request, const Reply& reply);
    void remove(const http::Request& request, const Reply& reply);
    void disable(const http::Request& request, const Reply& reply);
    void enable(const http::Request& request, const Reply& reply);

private:
    service::EndpointRegistry& registry_;
    UrlChecks checks_;
};

}  // namespace messaging::handler
