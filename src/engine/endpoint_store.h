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
    virtual void load_endpoints(core::Completion<std::vector<core::Endpoint>> done) = 0;
};

}  // namespace messaging::engine
