// Back-off: how long a failed message waits; a pure function of attempts and chance.
#pragma once

#include <chrono>
#include <vector>

#include "core/random.h"

namespace messaging::core {

struct BackoffPolicy {
    std::chrono::milliseconds base{2000};
    double factor = 2.0;
    std::chrono::milliseconds cap{std::chrono::hours(6)};
    int max_attempts = 16;
};

// The wait after `attempts` failed attempts (1 = after the first), without jitter: base * factor^(attempts-1), at most cap.
std::chrono::milliseconds nominal_delay(const BackoffPolicy& policy, int attempts);

// With jitter: uniform in [nominal/2, nominal], so that what failed together does not return together.
std::chrono::milliseconds next_delay(const BackoffPolicy& policy, int attempts, Random& random);

// The nominal waits between the attempts; max_attempts - 1 of them.
std::vector<std::chrono::milliseconds> retry_schedule(const BackoffPolicy& policy);

}  // namespace messaging::core
