// EndpointReporter: writes what an engine finds of its endpoints to PostgreSQL, so that the other engines know it.
#pragma once

#include <cstddef>
#include <unordered_map>

#include "core/message.h"
#include "engine/endpoint_gates.h"
#include "engine/endpoint_state_store.h"
#include "engine/engine_observer.h"

namespace messaging::engine {

// In one statement. Each finding may publish an event, and the heartbeat waits for the statement on the same session.
inline constexpr std::size_t kMaxFindings = 200;

// Loop thread only. One writing is under way at a time; of the findings that wait meanwhile the last one of each endpoint counts.
// What could not be written is dropped: the next try of a failing endpoint, or the next reading of the endpoints, reports it
// again.
class EndpointReporter {
public:
    EndpointReporter(EndpointStateStore& store, EngineObserver& observer) : store_(store), observer_(observer) {}

    // `may_disable`: whether an endpoint may be disabled for having failed for long. The last one counts for all that wait.
    void add(EndpointFinding finding, bool may_disable);

private:
    void next();

    EndpointStateStore& store_;
    EngineObserver& observer_;
    std::unordered_map<core::EndpointId, EndpointFinding> waiting_;
    bool writing_ = false;
    bool may_disable_ = false;
};

}  // namespace messaging::engine
