// EndpointStateStore: the states of the endpoints, as engines find them. A port; repository implements it.
#pragma once

#include <vector>

#include "core/completion.h"
#include "engine/endpoint_gates.h"

namespace messaging::engine {

// Loop thread only.
class EndpointStateStore {
public:
    virtual ~EndpointStateStore() = default;
    // Writes the states that follow from the findings, and tells all engines of those that have changed. An endpoint that has
    // been failing for longer than the service allows is disabled where `may_disable`. One whose state another session is
    // changing is left as it is.
    virtual void write_findings(std::vector<EndpointFinding> findings, bool may_disable, core::Completion<core::Unit> done) = 0;
};

}  // namespace messaging::engine
