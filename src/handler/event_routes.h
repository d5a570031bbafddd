// The routes of /events: parse, ask the store, encode.
#pragma once

#include <cstddef>

#include "handler/reply.h"
#include "http/message.h"
#include "service/event_store.h"

namespace messaging::handler {

// Loop thread only. The store must outlive it.
class EventRoutes {
public:
    EventRoutes(service::EventStore& store, std::size_t max_data_bytes) : store_(store), max_data_bytes_(max_data_bytes) {}

    void list(const http::Request& request, const Reply& reply);
    void create(const http::Request& request, const Reply& reply);
    void get(const http::Request& request, const Reply& reply);

private:
    service::EventStore& store_;
    std::size_t max_data_bytes_;
};

}  // namespace messaging::handler
