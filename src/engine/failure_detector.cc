// Remembers since when each instance's lock has been free, or its heartbeat has been missing.
#include "engine/failure_detector.h"

#include <utility>

namespace messaging::engine {

FailureDetector::Failures FailureDetector::observe(const std::vector<LivenessSample>& samples, core::MonoTime now) {
    const Since free_before = std::exchange(free_since_, {});
    const Since mute_before = std::exchange(mute_since_, {});
    const auto remembered = [now](const Since& before, Since& kept, core::InstanceId id) {
        const auto found = before.find(id);
        return now - kept.emplace(id, found == before.end() ? now : found->second).first->second;
    };
    Failures failures;
    for (const LivenessSample& sample : samples) {
        if (sample.lock_free) {
            if (remembered(free_before, free_since_, sample.id) >= kFailedAfter) failures.failed.push_back(sample.id);
        } else if (sample.mute) {
            if (remembered(mute_before, mute_since_, sample.id) >= kUnresponsiveAfter) failures.unresponsive.push_back(sample.id);
        }
    }
    return failures;
}

void FailureDetector::forget() {
    free_since_.clear();
    mute_since_.clear();
}

}  // namespace messaging::engine
