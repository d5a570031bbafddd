// Sender: makes one delivery attempt. A port; gateway implements it over HTTP.
#pragma once

#include <functional>

#include "core/attempt.h"
#include "core/message.h"

namespace messaging::engine {

// Loop thread only.
class Sender {
public:
    virtual ~Sender() = default;
    // Completes once, later, never inside this call.
    virtual void start_attempt(const core::Delivery& delivery, const core::Endpoint& endpoint,
                               std::function<void(core::AttemptResult)> done) = 0;
};

}  // namespace messaging::engine
