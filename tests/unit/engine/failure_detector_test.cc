// Which instances have failed, and which only seem to.
#include "engine/failure_detector.h"

#include <gtest/gtest.h>

namespace messaging::engine {
namespace {

using std::chrono::milliseconds;
constexpr LivenessSample kAlive{7, false, false};
constexpr LivenessSample kFree{7, true, false};
constexpr LivenessSample kSilent{7, false, true};
const core::MonoTime kStart{};

TEST(FailureDetector, AFreeLockIsNotYetAFailure) {
    FailureDetector detector;
    EXPECT_TRUE(detector.observe({kFree}, kStart).failed.empty());
    EXPECT_TRUE(detector.observe({kFree}, kStart + kFailedAfter - milliseconds(1)).failed.empty());
}

TEST(FailureDetector, ALockThatStaysFreeIsAFailure) {
    FailureDetector detector;
    detector.observe({kFree}, kStart);
    EXPECT_EQ(detector.observe({kFree}, kStart + kFailedAfter).failed, std::vector<core::InstanceId>{7});
    EXPECT_EQ(detector.observe({kFree}, kStart + kFailedAfter * 2).failed.size(), 1U) << "until it has been buried";
}

TEST(FailureDetector, WhoCameBackBetweenTwoSamplesStartsAnew) {
    FailureDetector detector;
    detector.observe({kFree}, kStart);
    detector.observe({kAlive}, kStart + milliseconds(500));
    EXPECT_TRUE(detector.observe({kFree}, kStart + kFailedAfter).failed.empty());
}

TEST(FailureDetector, WhatWasSeenBeforeAnAbsenceOfOnesOwnDoesNotCount) {
    FailureDetector detector;
    detector.observe({kFree}, kStart);
    detector.forget();
    EXPECT_TRUE(detector.observe({kFree}, kStart + kFailedAfter * 5).failed.empty());
}

TEST(FailureDetector, WhoHoldsItsLockInSilenceIsUnresponsiveAfterAWhile) {
    FailureDetector detector;
    EXPECT_TRUE(detector.observe({kSilent}, kStart).unresponsive.empty());
    const FailureDetector::Failures failures = detector.observe({kSilent}, kStart + kUnresponsiveAfter);
    EXPECT_EQ(failures.unresponsive, std::vector<core::InstanceId>{7});
    EXPECT_TRUE(failures.failed.empty());
}

TEST(FailureDetector, AHeartbeatEndsTheSilence) {
    FailureDetector detector;
    detector.observe({kSilent}, kStart);
    detector.observe({kAlive}, kStart + milliseconds(500));
    EXPECT_TRUE(detector.observe({kSilent}, kStart + kUnresponsiveAfter).unresponsive.empty());
}

}  // namespace
}  // namespace messaging::engine
