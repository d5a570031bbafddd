// What holds of every back-off, every attempt and every Retry-After.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "core/outcome.h"
#include "core/retry_after.h"
#include "support/fixed_random.h"

namespace messaging::core {
namespace {

using std::chrono::milliseconds;

constexpr int kAYear = 31'536'000;  // seconds: the longest wait that is told

BackoffPolicy any_policy() {
    BackoffPolicy policy;
    policy.base = milliseconds(*rc::gen::inRange(0, 10'000'000));
    policy.factor = *rc::gen::element(1.0, 1.5, 2.0, 10.0, 1e6);
    policy.cap = milliseconds(*rc::gen::inRange<std::int64_t>(0, std::int64_t{1} << 40));
    policy.max_attempts = *rc::gen::inRange(1, 100);
    return policy;
}
double any_unit() { return *rc::gen::inRange(0, 1000) / 1000.0; }

RC_GTEST_PROP(BackoffProperties, NeverShrinksAndNeverExceedsTheCap, ()) {
    const BackoffPolicy policy = any_policy();
    const int attempts = *rc::gen::inRange(1, 100'000);
    const milliseconds nominal = nominal_delay(policy, attempts);
    RC_ASSERT(nominal >= milliseconds(0));
    RC_ASSERT(nominal <= policy.cap);
    RC_ASSERT(nominal <= nominal_delay(policy, attempts + 1));
}

RC_GTEST_PROP(BackoffProperties, JitterTakesAHalfAtMost, ()) {
    const BackoffPolicy policy = any_policy();
    const int attempts = *rc::gen::inRange(1, 1000);
    test::FixedRandom random(any_unit());
    const milliseconds delay = next_delay(policy, attempts, random);
    RC_ASSERT(delay >= nominal_delay(policy, attempts) / 2);
    RC_ASSERT(delay <= nominal_delay(policy, attempts));
}

RC_GTEST_PROP(OutcomeProperties, AStatusDecidesAndAttemptsAreCountedOnce, ()) {
    OutcomePolicy policy;
    policy.backoff = any_policy();
    Delivery delivery;
    delivery.attempts = *rc::gen::inRange(0, 120);
    AttemptResult result;
    result.status = *rc::gen::inRange(200, 600);
    result.retry_after = std::to_string(*rc::gen::inRange<std::int64_t>(0, std::int64_t{1} << 62));
    test::FixedRandom random(any_unit());
    const Outcome outcome = classify_attempt(policy, delivery, result, WallTime{}, random);
    RC_ASSERT(outcome.attempts == delivery.attempts + 1);
    RC_ASSERT((outcome.kind == OutcomeKind::kDelivered) == (result.status < 300));
    if (outcome.kind == OutcomeKind::kDelivered) return;
    RC_ASSERT((outcome.kind == OutcomeKind::kDead) == (outcome.attempts >= policy.backoff.max_attempts));
    RC_ASSERT(!outcome.error.empty());
    if (outcome.kind != OutcomeKind::kRetry) return;
    const milliseconds backoff = next_delay(policy.backoff, outcome.attempts, random);
    RC_ASSERT(outcome.delay >= backoff);
    RC_ASSERT(outcome.delay <= std::max(backoff, policy.retry_after_max));
}

RC_GTEST_PROP(OutcomeProperties, AFaultOfOursUsesUpNoAttempt, ()) {
    Delivery delivery;
    delivery.attempts = *rc::gen::inRange(0, 120);
    AttemptResult result;
    result.fault = AttemptFault::kLocal;
    test::FixedRandom random;
    const Outcome outcome = classify_attempt({}, delivery, result, WallTime{}, random);
    RC_ASSERT(outcome.kind == OutcomeKind::kDeferred);
    RC_ASSERT(outcome.attempts == delivery.attempts);
}

RC_GTEST_PROP(RetryAfterProperties, SecondsAreReadAsWrittenAndNothingElseCrashes, (const std::string& any)) {
    const auto seconds = *rc::gen::inRange(0, 2'000'000'000);
    const auto read = parse_retry_after(std::to_string(seconds), any, WallTime{});
    RC_ASSERT(read.has_value());
    RC_ASSERT(read->count() == std::min(seconds, kAYear));
    const auto strange = parse_retry_after(any, any, WallTime{});
    RC_ASSERT(!strange || strange->count() >= 0);
}

}  // namespace
}  // namespace messaging::core
