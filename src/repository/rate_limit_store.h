// PgRateLimitStore: reserves moments for requests in PostgreSQL; implements engine::RateLimitStore.
#pragma once

#include <vector>

#include "core/completion.h"
#include "engine/rate_limit_store.h"
#include "pg/connection.h"

namespace messaging::repository {

// Loop thread only. The session must outlive it.
class PgRateLimitStore : public engine::RateLimitStore {
public:
    explicit PgRateLimitStore(pg::Connection& session) : session_(session) {}

    void reserve(std::vector<engine::RateRequest> requests, core::Completion<std::vector<engine::RateGrant>> done) override;

private:
    pg::Connection& session_;
};

}  // namespace messaging::repository
