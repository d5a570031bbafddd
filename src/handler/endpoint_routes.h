// The routes of /endpoints: parse, ask the registry, encode.
#pragma once

#include <functional>
#include <string>
#include <utility>

#include "core/result.h"
#include "handler/reply.h"
#include "http/message.h"
#include "service/endpoint_registry.h"
#include "service/endpoint_tester.h"
#include "service/secret_store.h"

namespace messaging::handler {

// What is wrong with the URL of an endpoint.
using CheckUrl = std::function<core::Result<core::Unit>(const std::string& url)>;

struct UrlChecks {
    CheckUrl form;     // whether it can be sent to at all
    CheckUrl address;  // whether its host may be connected to, as far as that is known without a look-up
};

// Loop thread only. The stores and the tester must outlive it.
class EndpointRoutes {
public:
    EndpointRoutes(service::EndpointRegistry& registry, service::SecretStore& secrets, service::EndpointTester& tester,
                   UrlChecks checks)
        : registry_(registry), secrets_(secrets), tester_(tester), checks_(std::move(checks)) {}

    void list(const http::Request& request, const Reply& reply);
    void create(const http::Request& request, const Reply& reply);
    void get(const http::Request& request, const Reply& reply);
    void change(const http::Request& request, const Reply& reply);
    void remove(const http::Request& request, const Reply& reply);
    void disable(const http::Request& request, const Reply& reply);
    void enable(const http::Request& request, const Reply& reply);
    void read_secret(const http::Request& request, const Reply& reply);
    void rotate_secret(const http::Request& request, const Reply& reply);
    void test(const http::Request& request, const Reply& reply);

private:
    // Calls `then` with the id of the path's endpoint, if its requests are signed.
    void with_signed(const http::Request& request, const Reply& reply, std::function<void(core::EndpointId)> then);

    service::EndpointRegistry& registry_;
    service::SecretStore& secrets_;
    service::EndpointTester& tester_;
    UrlChecks checks_;
};

}  // namespace messaging::handler
