// Classification of attempts.
#include "core/outcome.h"

#include <algorithm>

#include "core/retry_after.h"

namespace messaging::core {
namespace {

Outcome failed(const OutcomePolicy& policy, MessageId id, ClaimId claim_id, int attempts, std::string error) {
    Outcome outcome;
    outcome.id = id;
    outcome.claim_id = claim_id;
    outcome.attempts = attempts;
    outcome.kind = attempts >= policy.backoff.max_attempts ? OutcomeKind::kDead : OutcomeKind::kRetry;
    outcome.error = std::move(error);
    return outcome;
}

}  // namespace

Outcome classify_attempt(const OutcomePolicy& policy, const Delivery& delivery, const AttemptResult& result, WallTime now,
                         Random& random) {
    const auto duration = std::chrono::duration_cast<std::chrono::milliseconds>(result.duration);
    Outcome outcome;
    if (result.fault == AttemptFault::kLocal) {
        outcome.id = delivery.id;
        outcome.claim_id = delivery.claim_id;
        outcome.attempts = delivery.attempts;
        outcome.kind = OutcomeKind::kDeferred;
        outcome.delay = policy.local_fault_delay;
        outcome.error = result.detail;
    } else if (result.fault == AttemptFault::kNone && result.status >= 200 && result.status <= 299) {
        outcome.id = delivery.id;
        outcome.claim_id = delivery.claim_id;
        outcome.attempts = delivery.attempts + 1;
        outcome.kind = OutcomeKind::kDelivered;
        outcome.receiver_message_id = result.receiver_message_id;
    } else {
        const bool answered = result.fault == AttemptFault::kNone;
        outcome = failed(policy, delivery.id, delivery.claim_id, delivery.attempts + 1,
                         answered ? "the receiver answered HTTP " + std::to_string(result.status) : result.detail);
        if (outcome.kind == OutcomeKind::kRetry) {
            outcome.delay = next_delay(policy.backoff, outcome.attempts, random);
            if (const auto asked = parse_retry_after(result.retry_after, result.date, now)) {
                const auto bounded = std::min<std::chrono::milliseconds>(*asked, policy.retry_after_max);
                outcome.delay = std::max(outcome.delay, bounded);
            }
        }
    }
    if (result.fault == AttemptFault::kNone) outcome.status = result.status;
    outcome.duration = duration;
    return outcome;
}

Outcome classify_abandoned(const OutcomePolicy& policy, MessageId id, ClaimId claim_id, int attempts, Random& random) {
    Outcome outcome = failed(policy, id, claim_id, attempts + 1, "the engine that held the message died");
    if (outcome.kind == OutcomeKind::kRetry && attempts > 0) {
        outcome.delay = next_delay(policy.backoff, outcome.attempts, random);
    }
    return outcome;
}

}  // namespace messaging::core
