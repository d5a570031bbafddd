// FailureDetector: decides which of the other instances have failed or do not respond, from repeated samples; pure.
#pragma once

#include <chrono>
#include <unordered_map>
#include <vector>

#include "core/clock.h"
#include "core/message.h"

namespace messaging::engine {

// An instance whose instance lock has been free for this long has failed. An engine that has only lost its listen session
// reconnects within half of this time, registers as a new instance, and moves its claims to it. The old instance then has no
// claims to reclaim. Every reclaim is delayed by this time, so it is short.
inline constexpr std::chrono::milliseconds kFailedAfter{1000};
// An instance that holds its lock and writes no heartbeat for this long is mute: its process is stopped, or its host has
// vanished and PostgreSQL has not noticed yet (session_settings.h).
inline constexpr std::chrono::milliseconds kMuteAfter{8000};
// An instance that is mute in every sample for this long is unresponsive. One mute sample says little: after a time in which
// nobody could write to PostgreSQL, every instance is mute for a moment.
inline constexpr std::chrono::milliseconds kUnresponsiveAfter{2500};

// One sample of an instance.
struct LivenessSample {
    core::InstanceId id = 0;
    bool lock_free = false;  // no session holds its instance lock
    bool mute = false;       // no heartbeat for kMuteAfter, by PostgreSQL's clock
};

// Remembers for each other instance since when its instance lock has been free, and since when it has been mute, without
// interruption.
class FailureDetector {
public:
    struct Failures {
        std::vector<core::InstanceId> failed;        // their claims are to be reclaimed
        std::vector<core::InstanceId> unresponsive;  // their sessions are to be ended
    };
    Failures observe(const std::vector<LivenessSample>& samples, core::MonoTime now);
    // Forgets all samples, because this engine could not take samples for a while.
    void forget();

private:
    using Since = std::unordered_map<core::InstanceId, core::MonoTime>;
    Since free_since_;
    Since mute_since_;
};

}  // namespace messaging::engine
