// How long a failed message waits.
#include "core/backoff.h"

#include <gtest/gtest.h>

#include "support/fixed_random.h"

namespace messaging::core {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using test::FixedRandom;

TEST(Backoff, DoublesUntilItsCap) {
    const BackoffPolicy policy;
    EXPECT_EQ(nominal_delay(policy, 1), milliseconds(2000));
    EXPECT_EQ(nominal_delay(policy, 2), milliseconds(4000));
    EXPECT_EQ(nominal_delay(policy, 5), milliseconds(32000));
    EXPECT_EQ(nominal_delay(policy, 14), milliseconds(16384000));
    EXPECT_EQ(nominal_delay(policy, 15), hours(6));
    EXPECT_EQ(nominal_delay(policy, 1'000'000), hours(6)) << "no overflow";
}

TEST(Backoff, JitterTakesUpToHalfAway) {
    const BackoffPolicy policy;
    FixedRandom least(0.0);
    FixedRandom most(0.999999);
    EXPECT_EQ(next_delay(policy, 3, least), milliseconds(4000));
    EXPECT_GE(next_delay(policy, 3, most), milliseconds(7999));
    EXPECT_LE(next_delay(policy, 3, most), milliseconds(8000));
}

TEST(Backoff, TheScheduleHasAWaitBetweenAnyTwoAttempts) {
    BackoffPolicy policy;
    EXPECT_EQ(retry_schedule(policy).size(), 15u);
    policy.max_attempts = 1;
    EXPECT_TRUE(retry_schedule(policy).empty());
}

TEST(Backoff, AFactorOfOneWaitsEvenly) {
    BackoffPolicy policy;
    policy.factor = 1;
    EXPECT_EQ(nominal_delay(policy, 1), nominal_delay(policy, 9));
}

}  // namespace
}  // namespace messaging::core
