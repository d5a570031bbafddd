// Outcome: what an attempt's result means for its message; pure.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "core/attempt.h"
#include "core/backoff.h"
#include "core/clock.h"
#include "core/message.h"
#include "core/random.h"

namespace messaging::core {

struct OutcomePolicy {
    BackoffPolicy backoff;
    std::chrono::milliseconds retry_after_max{std::chrono::hours(24)};  // a receiver cannot delay a message for longer
    std::chrono::milliseconds local_fault_delay{1000};
};

bool is_delivered(const AttemptResult& result);
// Why it is not delivered, for people; empty where it is.
std::string failure_of(const AttemptResult& result);
// 429, 502, 503, 504: the receiver, or what stands before it, cannot take so many requests now.
bool is_overload(const AttemptResult& result);
// 410: the receiver wants no more requests at this URL.
bool is_gone(const AttemptResult& result);
// The receiver takes requests and refuses this one: 4xx, except what it answers to any request (401, 403, 404, 405, 408, 410,
// 429).
bool is_about_message(const AttemptResult& result);
// What Retry-After asks for; nullopt = nothing.
std::optional<std::chrono::milliseconds> asked_wait(const AttemptResult& result, WallTime now);

// Any 2xx delivers. Everything else, redirects included, waits and is tried again until the attempts are used up.
// Retry-After lengthens the wait, never shortens it. A fault of the service itself uses up no attempt.
Outcome classify_attempt(const OutcomePolicy& policy, const Delivery& delivery, const AttemptResult& result, WallTime now,
                         Random& random);

// An outcome that uses up no attempt: the delivery was not started, or could not be.
Outcome uncounted(const Delivery& delivery, OutcomeKind kind);

}  // namespace messaging::core
