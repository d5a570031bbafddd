// Decides the outcome of an attempt.
#include "core/outcome.h"

#include <algorithm>
#include <array>

#include "core/retry_after.h"

namespace messaging::core {

Outcome uncounted(const Delivery& delivery, OutcomeKind kind) {
    Outcome outcome;
    outcome.id = delivery.id;
    outcome.claim_id = delivery.claim_id;
    outcome.generation = delivery.generation;
    outcome.attempts = delivery.attempts;
    outcome.kind = kind;
    return outcome;
}

bool is_delivered(const AttemptResult& result) {
    return result.fault == AttemptFault::kNone && result.status >= 200 && result.status <= 299;
}

std::string failure_of(const AttemptResult& result) {
    if (is_delivered(result)) return "";
    if (result.fault == AttemptFault::kNone) return "the receiver answered HTTP " + std::to_string(result.status);
    return result.detail;
}

bool is_overload(const AttemptResult& result) {
    constexpr std::array kStatuses{429, 502, 503, 504};
    return result.fault == AttemptFault::kNone && std::find(kStatuses.begin(), kStatuses.end(), result.status) != kStatuses.end();
}

bool is_gone(const AttemptResult& result) { return result.fault == AttemptFault::kNone && result.status == 410; }

bool is_about_message(const AttemptResult& result) {
    constexpr std::array kToAnyRequest{401, 403, 404, 405, 408, 410, 429};
    return result.fault == AttemptFault::kNone && result.status >= 400 && result.status <= 499 &&
           std::find(kToAnyRequest.begin(), kToAnyRequest.end(), result.status) == kToAnyRequest.end();
}

std::optional<std::chrono::milliseconds> asked_wait(const AttemptResult& result, WallTime now) {
    return parse_retry_after(result.retry_after, result.date, now);
}

Outcome classify_attempt(const OutcomePolicy& policy, const Delivery& delivery, const AttemptResult& result, WallTime now,
                         Random& random) {
    const auto duration = std::chrono::duration_cast<std::chrono::milliseconds>(result.duration);
    Outcome outcome = uncounted(delivery, OutcomeKind::kDeferred);
    if (result.fault == AttemptFault::kLocal) {
        outcome.delay = policy.local_fault_delay;
    } else if (is_delivered(result)) {
        outcome.kind = OutcomeKind::kDelivered;
        ++outcome.attempts;
        outcome.receiver_message_id = result.receiver_message_id;
    } else {
        ++outcome.attempts;
        outcome.kind = outcome.attempts >= policy.backoff.max_attempts ? OutcomeKind::kDead : OutcomeKind::kRetry;
        if (outcome.kind == OutcomeKind::kRetry) {
            outcome.delay = next_delay(policy.backoff, outcome.attempts, random);
            if (const auto asked = asked_wait(result, now)) {
                const auto bounded = std::min<std::chrono::milliseconds>(*asked, policy.retry_after_max);
                outcome.delay = std::max(outcome.delay, bounded);
            }
        }
    }
    outcome.error = failure_of(result);
    if (result.fault == AttemptFault::kNone) outcome.status = result.status;
    outcome.duration = duration;
    return outcome;
}

}  // namespace messaging::core
