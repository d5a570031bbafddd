// Who is dead, and who only looks so.
#include "engine/failure_detector.h"

#include <gtest/gtest.h>

namespace messaging::engine {
namespace {

using std::chrono::milliseconds;
constexpr LivenessSample kAlive{7, false, false};
constexpr LivenessSample kFree{7, true, false};
constexpr LivenessSample kSilent{7, false, true};
const core::MonoTime kStart{};

TEST(FailureDetector, AFreeLockIsNotYetADeath) {
    FailureDetector watch;
    EXPECT_TRUE(watch.look({kFree}, kStart).dead.empty());
    EXPECT_TRUE(watch.look({kFree}, kStart + kFailedAfter - milliseconds(1)).dead.empty());
}

TEST(FailureDetector, ALockThatStaysFreeIsADeath) {
    FailureDetector watch;
    watch.look({kFree}, kStart);
    EXPECT_EQ(watch.look({kFree}, kStart + kFailedAfter).dead, std::vector<core::InstanceId>{7});
    EXPECT_EQ(watch.look({kFree}, kStart + kFailedAfter * 2).dead.size(), 1U) << "until it has been buried";
}

TEST(FailureDetector, WhoCameBackBetweenTwoLooksStartsAnew) {
    FailureDetector watch;
    watch.look({kFree}, kStart);
    watch.look({kAlive}, kStart + milliseconds(500));
    EXPECT_TRUE(watch.look({kFree}, kStart + kFailedAfter).dead.empty());
}

TEST(FailureDetector, WhatWasSeenBeforeAnAbsenceOfOnesOwnDoesNotCount) {
    FailureDetector watch;
    watch.look({kFree}, kStart);
    watch.forget();
    EXPECT_TRUE(watch.look({kFree}, kStart + kFailedAfter * 5).dead.empty());
}

TEST(FailureDetector, WhoHoldsItsLockInSilenceIsHungAfterAWhile) {
    FailureDetector watch;
    EXPECT_TRUE(watch.look({kSilent}, kStart).hung.empty());
    const FailureDetector::Verdict verdict = watch.look({kSilent}, kStart + kUnresponsiveAfter);
    EXPECT_EQ(verdict.hung, std::vector<core::InstanceId>{7});
    EXPECT_TRUE(verdict.dead.empty());
}

TEST(FailureDetector, AHeartbeatEndsTheSilence) {
    FailureDetector watch;
    watch.look({kSilent}, kStart);
    watch.look({kAlive}, kStart + milliseconds(500));
    EXPECT_TRUE(watch.look({kSilent}, kStart + kUnresponsiveAfter).hung.empty());
}

}  // namespace
}  // namespace messaging::engine
