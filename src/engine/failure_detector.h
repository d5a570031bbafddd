// FailureDetector: which of the other instances are dead or hung, judged by what is seen of them over time; pure.
#pragma once

#include <chrono>
#include <unordered_map>
#include <vector>

#include "core/clock.h"
#include "core/message.h"

namespace messaging::engine {

// A lock that stays free for so long has no owner: one that has only lost its session is back within half of it, because
// sessions are made anew at least every half second. Short, because it is the delay of every take-over.
inline constexpr std::chrono::milliseconds kFailedAfter{1000};
// Held, but no heartbeat: a stopped process, or a host that has gone without a word, whose sessions PostgreSQL believes in
// for hours.
inline constexpr std::chrono::milliseconds kSilentAfter{8000};
// Silent at every look for so long. After a time in which nobody could write a heartbeat everybody looks silent for a moment.
inline constexpr std::chrono::milliseconds kUnresponsiveAfter{2500};

// One look at an instance.
struct LivenessSample {
    core::InstanceId id = 0;
    bool lock_free = false;  // its session lock has no holder
    bool silent = false;     // no heartbeat for kSilentAfter, by PostgreSQL's clock
};

// One engine's memory of its looks. Only what was seen without interruption counts.
class FailureDetector {
public:
    struct Verdict {
        std::vector<core::InstanceId> dead;  // nobody will speak for them
        std::vector<core::InstanceId> hung;  // their session lock is to be taken from them
    };
    Verdict look(const std::vector<LivenessSample>& signs, core::MonoTime now);
    // This engine has been away itself.
    void forget();

private:
    using Since = std::unordered_map<core::InstanceId, core::MonoTime>;
    Since free_since_;
    Since silent_since_;
};

}  // namespace messaging::engine
