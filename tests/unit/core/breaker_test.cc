// When an endpoint gets no more requests, and when it is tried again.
#include "core/breaker.h"

#include <gtest/gtest.h>

#include "support/fixed_random.h"

namespace messaging::core {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class BreakerTest : public testing::Test {
protected:
    bool fail() { return breaker_.fail(policy_, now_, random_); }

    const BreakerPolicy policy_{.failures = 3, .at_least = seconds(5), .first_pause = seconds(4), .longest_pause = seconds(10)};
    test::FixedRandom random_{1.0};  // the longest of the jitter
    MonoTime now_{std::chrono::hours(1)};
    Breaker breaker_;
};

TEST_F(BreakerTest, OpensAfterFailuresInARowThatTookLongEnough) {
    for (int i = 0; i < 100; ++i) EXPECT_FALSE(fail()) << "a restart refuses many at once";
    now_ += seconds(5);
    EXPECT_TRUE(fail());
    EXPECT_TRUE(breaker_.is_open());
    EXPECT_EQ(breaker_.paused_until(), now_ + seconds(4));
}

TEST_F(BreakerTest, ASuccessBeginsTheCountAnew) {
    fail();
    fail();
    now_ += seconds(60);
    breaker_.succeed();
    EXPECT_FALSE(fail());
    EXPECT_FALSE(breaker_.is_open());
    now_ += seconds(60);
    EXPECT_FALSE(fail()) << "two in a row";
    EXPECT_TRUE(fail());
}

TEST_F(BreakerTest, ThePauseDoublesWithEachTryThatFails) {
    fail();
    fail();
    now_ += seconds(5);
    EXPECT_TRUE(fail());
    EXPECT_FALSE(fail()) << "of a request that had begun before";
    EXPECT_EQ(breaker_.paused_until(), now_ + seconds(4));
    now_ += seconds(4);
    EXPECT_TRUE(fail());
    EXPECT_EQ(breaker_.paused_until(), now_ + seconds(8));
    now_ += seconds(8);
    EXPECT_TRUE(fail());
    EXPECT_EQ(breaker_.paused_until(), now_ + seconds(10)) << "the longest";
    breaker_.succeed();
    EXPECT_FALSE(breaker_.is_open());
}

TEST_F(BreakerTest, TriesTheOldestAndTheNewestMessageInTurns) {
    EXPECT_FALSE(breaker_.tries_newest()) << "closed";
    breaker_.open(now_);
    for (const bool newest : {false, true, false, true}) {
        EXPECT_EQ(breaker_.tries_newest(), newest);
        now_ = breaker_.paused_until();
        EXPECT_TRUE(fail());
        EXPECT_FALSE(fail()) << "of a request that had begun before: no try";
    }
    breaker_.succeed();
    EXPECT_FALSE(breaker_.tries_newest());
}

TEST_F(BreakerTest, IsTriedAtOnceWhereAnotherEngineHasOpenedIt) {
    breaker_.open(now_);
    EXPECT_TRUE(breaker_.is_open());
    EXPECT_EQ(breaker_.paused_until(), now_);
    EXPECT_TRUE(fail()) << "the try";
    EXPECT_EQ(breaker_.paused_until(), now_ + seconds(4));
    breaker_.open(now_);
    EXPECT_EQ(breaker_.paused_until(), now_ + seconds(4)) << "it is open already";
}

TEST_F(BreakerTest, NeverOpensWhereThePolicySaysSo) {
    for (int i = 0; i < 100; ++i) {
        now_ += seconds(60);
        EXPECT_FALSE(breaker_.fail({.failures = 0}, now_, random_));
    }
}

}  // namespace
}  // namespace messaging::core
