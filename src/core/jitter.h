// Jitter: makes waits random, so that waits that begin together do not end together.
#pragma once

#include <chrono>

#include "core/random.h"

namespace messaging::core {

// Uniform in [low * nominal, high * nominal).
inline std::chrono::milliseconds jittered(std::chrono::milliseconds nominal, double low, double high, Random& random) {
    const double chosen = static_cast<double>(nominal.count()) * (low + (high - low) * random.next_unit());
    return std::chrono::milliseconds(static_cast<std::chrono::milliseconds::rep>(chosen));
}

}  // namespace messaging::core
