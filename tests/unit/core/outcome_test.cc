// What an attempt means for its message.
#include "core/outcome.h"

#include <gtest/gtest.h>

#include "support/fixed_random.h"

namespace messaging::core {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

class OutcomeTest : public testing::Test {
protected:
    Outcome classify(const AttemptResult& result, int attempts_before = 0) {
        Delivery delivery;
        delivery.id = 7;
        delivery.claim_id = 3;
        delivery.attempts = attempts_before;
        return classify_attempt(policy_, delivery, result, WallTime(seconds(1'800'000'000)), random_);
    }
    static AttemptResult answered(int status, std::string retry_after = "") {
        AttemptResult result;
        result.status = status;
        result.retry_after = std::move(retry_after);
        return result;
    }
    static AttemptResult fault(AttemptFault fault) {
        AttemptResult result;
        result.fault = fault;
        result.detail = "why";
        return result;
    }

    OutcomePolicy policy_;
    test::FixedRandom random_{0.5};
};

TEST_F(OutcomeTest, AnyStatusOfTwoHundredsDelivers) {
    for (const int status : {200, 201, 202, 204, 299}) {
        const Outcome outcome = classify(answered(status), 4);
        EXPECT_EQ(outcome.kind, OutcomeKind::kDelivered) << status;
        EXPECT_EQ(outcome.attempts, 5);
        EXPECT_EQ(outcome.status, status);
        EXPECT_EQ(outcome.error, "");
    }
}

TEST_F(OutcomeTest, EveryOtherStatusIsTriedAgainAndSaysWhy) {
    for (const int status : {100, 199, 300, 301, 304, 400, 404, 410, 429, 500, 503, 600, 999}) {
        const Outcome outcome = classify(answered(status));
        EXPECT_EQ(outcome.kind, OutcomeKind::kRetry) << status;
        EXPECT_EQ(outcome.attempts, 1);
        EXPECT_EQ(outcome.delay, milliseconds(1500));
        EXPECT_EQ(outcome.error, "the receiver answered HTTP " + std::to_string(status));
    }
}

TEST_F(OutcomeTest, TheLastAttemptEndsAmongTheDead) {
    EXPECT_EQ(classify(answered(500), 14).kind, OutcomeKind::kRetry);
    EXPECT_EQ(classify(answered(500), 15).kind, OutcomeKind::kDead);
    EXPECT_EQ(classify(fault(AttemptFault::kTimeout), 15).kind, OutcomeKind::kDead);
    EXPECT_EQ(classify(answered(200), 15).kind, OutcomeKind::kDelivered);
}

TEST_F(OutcomeTest, AFaultOfOursUsesUpNoAttempt) {
    const Outcome outcome = classify(fault(AttemptFault::kLocal), 15);
    EXPECT_EQ(outcome.kind, OutcomeKind::kDeferred);
    EXPECT_EQ(outcome.attempts, 15);
    EXPECT_EQ(outcome.error, "why");
    EXPECT_FALSE(outcome.status);
}

TEST_F(OutcomeTest, RetryAfterLengthensAWaitWithinBoundsAndNeverShortensIt) {
    EXPECT_EQ(classify(answered(429, "60")).delay, seconds(60));
    EXPECT_EQ(classify(answered(429, "1")).delay, milliseconds(1500));
    EXPECT_EQ(classify(answered(503, "999999999")).delay, hours(24));
    EXPECT_EQ(classify(answered(503, "Fri, 15 Jan 2027 08:01:40 GMT")).delay, seconds(100));
    EXPECT_EQ(classify(answered(503, "tomorrow")).delay, milliseconds(1500));
    EXPECT_EQ(classify(answered(200, "60")).delay, seconds(0));
}

}  // namespace
}  // namespace messaging::core
