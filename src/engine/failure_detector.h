// FailureDetector: decides which of the other instances have failed or do not respond, from repeated samples; pure.
#pragma once

#include <chrono>
#include <unordered_map>
#include <vector>

#include "core/clock.h"
#include "core/message.h"

namespace messaging::engine {

// An instance whose lock has been free for this long has failed. An instance that only lost its session takes its lock again
// within half of this time, because sessions are reconnected at least every half second. Every reclaim is delayed by this time,
// so it is short.
inline constexpr std::chrono::milliseconds kFailedAfter{1000};
// An instance that holds its lock and writes no heartbeat for this long is silent: its process is stopped, or its host has
// vanished and PostgreSQL has not noticed yet (session_settings.h).
inline constexpr std::chrono::milliseconds kSilentAfter{8000};
// An instance that is silent in every sample for this long is unresponsive. One silent sample says little: after a time in which
// nobody could write to PostgreSQL, every instance is silent for a moment.
inline constexpr std::chrono::milliseconds kUnresponsiveAfter{2500};

// What one query has found about an instance.
struct LivenessSample {
    core::InstanceId id = 0;
    bool lock_free = false;  // its session lock has no holder
    bool silent = false;     // no heartbeat for kSilentAfter, by PostgreSQL's clock
};

// Keeps, for one engine, since when each instance's lock has been free, and since when each instance has been silent, without
// interruption.
class FailureDetector {
public:
    struct Failures {
        std::vector<core::InstanceId> failed;        // their claims are to be reclaimed
        std::vector<core::InstanceId> unresponsive;  // their sessions are to be ended
    };
    Failures observe(const std::vector<LivenessSample>& signs, core::MonoTime now);
    // This engine could not take samples for a while: what it saw before does not count.
    void forget();

private:
    using Since = std::unordered_map<core::InstanceId, core::MonoTime>;
    Since free_since_;
    Since silent_since_;
};

}  // namespace messaging::engine
