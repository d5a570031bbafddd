// Two memories, each with its own patience.
#include "engine/failure_detector.h"

#include <utility>

namespace messaging::engine {

FailureDetector::Verdict FailureDetector::look(const std::vector<LivenessSample>& signs, core::MonoTime now) {
    const Since free_before = std::exchange(free_since_, {});
    const Since silent_before = std::exchange(silent_since_, {});
    const auto remembered = [now](const Since& before, Since& kept, core::InstanceId id) {
        const auto found = before.find(id);
        return now - kept.emplace(id, found == before.end() ? now : found->second).first->second;
    };
    Verdict verdict;
    for (const LivenessSample& sign : signs) {
        if (sign.lock_free) {
            if (remembered(free_before, free_since_, sign.id) >= kFailedAfter) verdict.dead.push_back(sign.id);
        } else if (sign.silent) {
            if (remembered(silent_before, silent_since_, sign.id) >= kUnresponsiveAfter) verdict.hung.push_back(sign.id);
        }
    }
    return verdict;
}

void FailureDetector::forget() {
    free_since_.clear();
    silent_since_.clear();
}

}  // namespace messaging::engine
