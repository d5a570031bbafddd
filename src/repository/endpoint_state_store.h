// PgEndpointStateStore: writes the states of endpoints; implements engine::EndpointStateStore.
#pragma once

#include <chrono>
#include <vector>

#include "core/completion.h"
#include "engine/endpoint_state_store.h"
#include "pg/connection.h"

namespace messaging::repository {

// Loop thread only. The session must outlive it.
class PgEndpointStateStore : public engine::EndpointStateStore {
public:
    // `disable_after`: nothing but failures for so long disables an endpoint; 0 = never.
    PgEndpointStateStore(pg::Connection& session, std::chrono::milliseconds disable_after)
        : session_(session), disable_after_(disable_after) {}

    void write_findings(std::vector<engine::EndpointFinding> findings, bool may_disable,
                        core::Completion<core::Unit> done) override;

private:
    pg::Connection& session_;
    const std::chrono::milliseconds disable_after_;
};

}  // namespace messaging::repository
