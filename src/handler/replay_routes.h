// The routes of /replays: parse, ask the store, encode.
#pragma once

#include "handler/reply.h"
#include "http/message.h"
#include "service/replay_store.h"

namespace messaging::handler {

// Loop thread only. The store must outlive it.
class ReplayRoutes {
public:
    explicit ReplayRoutes(service::ReplayStore& store) : store_(store) {}

    void list(const http::Request& request, const Reply& reply);
    void create(const http::Request& request, const Reply& reply);
    void get(const http::Request& request, const Reply& reply);
    void cancel(const http::Request& request, const Reply& reply);

private:
    void count(const service::ReplayFilter& filter, const Reply& reply);

    service::ReplayStore& store_;
};

}  // namespace messaging::handler
