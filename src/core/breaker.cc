// Opening, and the pauses between tries.
#include "core/breaker.h"

#include <algorithm>

#include "core/jitter.h"

namespace messaging::core {

bool Breaker::fail(const BreakerPolicy& policy, MonoTime now, Random& random) {
    if (failures_ == 0) first_failure_ = now;
    ++failures_;
    if (open_ && now < paused_until_) return false;  // of a request that had begun before
    const bool opens = policy.failures > 0 && failures_ >= policy.failures && now - first_failure_ >= policy.at_least;
    if (!open_ && !opens) return false;
    if (open_) ++failed_tries_;
    open_ = true;
    pause_ = std::clamp(2 * pause_, policy.first_pause, policy.longest_pause);
    paused_until_ = now + jittered(pause_, 0.75, 1.0, random);
    return true;
}

void Breaker::open(MonoTime now) {
    if (open_) return;
    open_ = true;
    paused_until_ = now;
}

}  // namespace messaging::core
