// RateLimitStore: the moments at which requests to endpoints with a rate limit may begin, shared by all engines. A port;
// repository implements it.
#pragma once

#include <chrono>
#include <vector>

#include "core/completion.h"
#include "core/message.h"

namespace messaging::engine {

struct RateRequest {
    core::EndpointId endpoint = 0;
    int rate = 1;   // requests per second
    int count = 1;  // requests that are to begin
};

// `count` requests may begin, one each 1/rate s.
struct RateGrant {
    core::EndpointId endpoint = 0;
    int count = 0;
    std::chrono::microseconds begins_in{0};  // the first one, from when PostgreSQL answered
};

// Loop thread only.
class RateLimitStore {
public:
    virtual ~RateLimitStore() = default;
    // Reserves moments after all that engines have reserved so far: no two requests to an endpoint have the same moment.
    // Endpoints whose rows another session has locked get no grant.
    virtual void reserve(std::vector<RateRequest> requests, core::Completion<std::vector<RateGrant>> done) = 0;
};

}  // namespace messaging::engine
