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
    // All of them, each with the signers that its secrets make. An error says what to do where a secret cannot be read.
    virtual void load_endpoints(core::Completion<std::vector<core::Endpoint>> done) = 0;
};

}  // namespace messaging::engine
