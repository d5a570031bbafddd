// Exponential back-off with jitter.
#include "core/backoff.h"

#include <algorithm>

namespace messaging::core {

std::chrono::milliseconds nominal_delay(const BackoffPolicy& policy, int attempts) {
    const double cap = static_cast<double>(policy.cap.count());
    double delay = static_cast<double>(policy.base.count());
    for (int i = 1; i < attempts && delay < cap; ++i) delay *= policy.factor;
    return std::chrono::milliseconds(static_cast<std::chrono::milliseconds::rep>(std::min(delay, cap)));
}

std::chrono::milliseconds next_delay(const BackoffPolicy& policy, int attempts, Random& random) {
    const double nominal = static_cast<double>(nominal_delay(policy, attempts).count());
    const double jittered = nominal * (0.5 + 0.5 * random.next_unit());
    return std::chrono::milliseconds(static_cast<std::chrono::milliseconds::rep>(jittered));
}

std::vector<std::chrono::milliseconds> retry_schedule(const BackoffPolicy& policy) {
    std::vector<std::chrono::milliseconds> waits;
    for (int attempts = 1; attempts < policy.max_attempts; ++attempts) waits.push_back(nominal_delay(policy, attempts));
    return waits;
}

}  // namespace messaging::core
