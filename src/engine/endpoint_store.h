// EndpointStore: the endpoints as an engine reads them. A port; repository implements it.
#pragma once

#include <vector>

#include "core/completion.h"
#include "core/message.h"

namespace messaging::engine {

// Loop thread only.
class EndpointStore {
public:
    virtual ~EndpointStore() = default;
    // All of them, each with the signers that its secrets make. One whose secrets cannot be read or made is unusable, and says
    // what to do.
    virtual void load_endpoints(core::Completion<std::vector<core::Endpoint>> done) = 0;
};

}  // namespace messaging::engine
