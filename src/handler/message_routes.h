// The routes of /messages: parse, ask the store, encode.
#pragma once

#include <cstddef>
#include <string>

#include "handler/reply.h"
#include "handler/requests.h"
#include "service/endpoint_registry.h"
#include "service/message_store.h"

namespace messaging::handler {

// The gaps of the response to POST /messages take id and created_at of each message that is accepted, in the order given.
service::ResponseTemplate response_to(const NewMessages& messages, const std::string& request_id);

// Loop thread only. The store and the registry must outlive it.
class MessageRoutes {
public:
    MessageRoutes(service::MessageStore& store, service::EndpointRegistry& endpoints, std::size_t max_content_bytes)
        : store_(store), endpoints_(endpoints), max_content_bytes_(max_content_bytes) {}

    void list(const http::Request& request, const Reply& reply);
    void create(const http::Request& request, const Reply& reply);
    void get(const http::Request& request, const Reply& reply);
    void retry(const http::Request& request, const Reply& reply);
    void cancel(const http::Request& request, const Reply& reply);

private:
    int most_on_a_page() const;
    void enqueue(const NewMessages& messages, const std::optional<service::IdempotencyKey>& key, const std::string& request_id,
                 const Reply& reply);
    // `limit`: what the client may have asked for; the query's own may be less.
    void send_page(const service::ListQuery& query, int limit, const std::string& request_id, const Reply& reply);

    service::MessageStore& store_;
    service::EndpointRegistry& endpoints_;
    std::size_t max_content_bytes_;
};

}  // namespace messaging::handler
