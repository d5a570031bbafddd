// Who is dead, and who only looks so.
#include "engine/failure_detector.h"

#include <gtest/gtest.h>

namespace messaging::engine {
namespace {

using std::chrono::milliseconds;
constexpr InstanceSign kAlive{7, false, false};
constexpr InstanceSign kFree{7, true, false};
constexpr InstanceSign kSilent{7, false, true};
const core::MonoTime kStart{};

TEST(DeathWatch, AFreeLockIsNotYetADeath) {
    DeathWatch watch;
    EXPECT_TRUE(watch.look({kFree}, kStart).dead.empty());
    EXPECT_TRUE(watch.look({kFree}, kStart + kDeadAfter - milliseconds(1)).dead.empty());
}

TEST(DeathWatch, ALockThatStaysFreeIsADeath) {
    DeathWatch watch;
    watch.look({kFree}, kStart);
    EXPECT_EQ(watch.look({kFree}, kStart + kDeadAfter).dead, std::vector<core::InstanceId>{7});
    EXPECT_EQ(watch.look({kFree}, kStart + kDeadAfter * 2).dead.size(), 1U) << "until it has been buried";
}

TEST(DeathWatch, WhoCameBackBetweenTwoLooksStartsAnew) {
    DeathWatch watch;
    watch.look({kFree}, kStart);
    watch.look({kAlive}, kStart + milliseconds(500));
    EXPECT_TRUE(watch.look({kFree}, kStart + kDeadAfter).dead.empty());
}

TEST(DeathWatch, WhatWasSeenBeforeAnAbsenceOfOnesOwnDoesNotCount) {
    DeathWatch watch;
    watch.look({kFree}, kStart);
    watch.forget();
    EXPECT_TRUE(watch.look({kFree}, kStart + kDeadAfter * 5).dead.empty());
}

TEST(DeathWatch, WhoHoldsItsLockInSilenceIsHungAfterAWhile) {
    DeathWatch watch;
    EXPECT_TRUE(watch.look({kSilent}, kStart).hung.empty());
    const DeathWatch::Verdict verdict = watch.look({kSilent}, kStart + kHungAfter);
    EXPECT_EQ(verdict.hung, std::vector<core::InstanceId>{7});
    EXPECT_TRUE(verdict.dead.empty());
}

TEST(DeathWatch, AHeartbeatEndsTheSilence) {
    DeathWatch watch;
    watch.look({kSilent}, kStart);
    watch.look({kAlive}, kStart + milliseconds(500));
    EXPECT_TRUE(watch.look({kSilent}, kStart + kHungAfter).hung.empty());
}

}  // namespace
}  // namespace messaging::engine
