// Exponential back-off with jitter.
#include "core/backoff.h"

#include <algorithm>

#include "core/jitter.h"

namespace messaging::core {

std::chrono::milliseconds nominal_delay(const BackoffPolicy& policy, int attempts) {
    const double cap = static_cast<double>(policy.cap.count());
    double delay = static_cast<double>(policy.base.count());
    for (int i = 1; i < attempts && delay < cap; ++i) delay *= policy.factor;
    return std::chrono::milliseconds(static_cast<std::chrono::milliseconds::rep>(std::min(delay, cap)));
}

std::chrono::milliseconds next_delay(const BackoffPolicy& policy, int attempts, Random& random) {
    return jittered(nominal_delay(policy, attempts), 0.5, 1.0, random);
}

std::vector<std::chrono::milliseconds> retry_schedule(const BackoffPolicy& policy) {
    std::vector<std::chrono::milliseconds> waits;
    for (int attempts = 1; attempts < policy.max_attempts; ++attempts) waits.push_back(nominal_delay(policy, attempts));
    return waits;
}

}  // namespace messaging::core
