// Which endpoints may get requests.
#include "engine/endpoint_gates.h"

#include <gtest/gtest.h>

#include "support/fake_time.h"
#include "support/fixed_random.h"

namespace messaging::engine {
namespace {

using std::chrono::seconds;

class EndpointGatesTest : public testing::Test {
protected:
    std::optional<EndpointFinding> answer(int status, const std::string& retry_after = "") {
        core::AttemptResult result;
        result.status = status;
        result.retry_after = retry_after;
        return gates_.on_attempt(7, result, time_.mono(), time_.wall(), random_);
    }
    std::size_t most() const { return gates_.most_in_flight(7, time_.mono()); }

    test::FakeTime time_;
    test::FixedRandom random_{1.0};
    EndpointGates gates_{{.failures = 2, .at_least = seconds(1), .first_pause = seconds(5), .longest_pause = seconds(60)}};
};

TEST_F(EndpointGatesTest, TriesOneAtATimeAfterThePauseAndASuccessEndsIt) {
    EXPECT_FALSE(answer(500));
    EXPECT_EQ(most(), kNoGate);
    time_.advance(seconds(1));
    const auto failing = answer(500);
    ASSERT_TRUE(failing);
    EXPECT_EQ(failing->finding, Finding::kFailing);
    EXPECT_EQ(failing->reason, "the receiver answered HTTP 500");
    EXPECT_EQ(most(), 0u);
    EXPECT_EQ(gates_.next_opening(time_.mono()), time_.mono() + seconds(5));
    time_.advance(seconds(5));
    EXPECT_EQ(most(), kTries);
    EXPECT_FALSE(gates_.next_opening(time_.mono()));
    const auto recovered = answer(204);
    ASSERT_TRUE(recovered);
    EXPECT_EQ(recovered->finding, Finding::kRecovered);
    EXPECT_EQ(most(), kNoGate);
    EXPECT_TRUE(gates_.empty());
    EXPECT_FALSE(answer(204)) << "said once";
}

// Two engines of which one could not reach a receiver changed its state every four seconds, and used attempts each time.
TEST_F(EndpointGatesTest, AnEngineThatAloneFailsKeepsThatToItselfForTheLongestPause) {
    answer(500);
    time_.advance(seconds(1));
    ASSERT_TRUE(answer(500));
    gates_.recover_elsewhere(7, time_.mono());
    EXPECT_EQ(most(), kTries) << "a try, at once";
    EXPECT_FALSE(answer(500)) << "the others are not told";
    EXPECT_FALSE(gates_.failing(7, time_.mono()));
    EXPECT_TRUE(gates_.is_open(7));
    EXPECT_EQ(most(), 0u);
    time_.advance(seconds(9));
    EXPECT_EQ(most(), 0u) << "the pauses grow";
    time_.advance(seconds(51));
    EXPECT_TRUE(gates_.failing(7, time_.mono())) << "perhaps nobody reaches it any more";
    EXPECT_TRUE(answer(500));
    gates_.recover_elsewhere(7, time_.mono());
    time_.advance(seconds(61));
    EXPECT_FALSE(gates_.failing(7, time_.mono())) << "nothing has failed since";
    EXPECT_FALSE(answer(500)) << "for twice as long now";
    time_.advance(seconds(60));
    EXPECT_TRUE(answer(500));
    gates_.recover_elsewhere(7, time_.mono());
    EXPECT_TRUE(answer(200));
    EXPECT_EQ(most(), kNoGate);
    gates_.recover_elsewhere(7, time_.mono());
    EXPECT_TRUE(gates_.empty()) << "it had no part in it";
    gates_.open_breaker(7, time_.mono());
    gates_.recover_elsewhere(7, time_.mono());
    EXPECT_TRUE(gates_.empty()) << "it knew of it from the others only";
}

TEST_F(EndpointGatesTest, FaultsOfOurOwnNeverCount) {
    core::AttemptResult ours;
    ours.fault = core::AttemptFault::kLocal;
    for (int i = 0; i < 100; ++i) {
        time_.advance(seconds(1));
        EXPECT_FALSE(gates_.on_attempt(7, ours, time_.mono(), time_.wall(), random_));
    }
    EXPECT_TRUE(gates_.empty());
}

TEST_F(EndpointGatesTest, AnOverloadedReceiverGetsThePauseThatItAsksFor) {
    answer(429, "30");
    EXPECT_EQ(most(), 0u);
    time_.advance(seconds(29));
    EXPECT_EQ(most(), 0u);
    time_.advance(seconds(1));
    EXPECT_EQ(most(), kNoGate) << "its breaker is closed";
}

TEST_F(EndpointGatesTest, ASuccessOfAnEarlierRequestDoesNotEndThePause) {
    answer(429, "30");
    EXPECT_FALSE(answer(200));
    EXPECT_EQ(most(), 0u);
    time_.advance(seconds(30));
    EXPECT_EQ(most(), kNoGate);
}

// A reader's finding: a hundred bad messages closed the endpoint for the good ones behind them, for days.
TEST_F(EndpointGatesTest, WhatAReceiverRefusesOfOneMessageDoesNotCount) {
    for (int i = 0; i < 10; ++i) {
        time_.advance(seconds(1));
        for (const int status : {400, 409, 413, 415, 422}) EXPECT_FALSE(answer(status));
    }
    EXPECT_TRUE(gates_.empty());
    answer(404);
    time_.advance(seconds(1));
    EXPECT_TRUE(answer(401)) << "it answers so to any request";
}

TEST_F(EndpointGatesTest, ThePauseIsBoundedAndOnlyForOverload) {
    answer(500, "30");
    EXPECT_EQ(most(), kNoGate) << "this is about the message";
    answer(503, "86400");
    EXPECT_EQ(gates_.next_opening(time_.mono()), time_.mono() + kLongestAskedPause);
    answer(503, "1");
    EXPECT_EQ(gates_.next_opening(time_.mono()), time_.mono() + kLongestAskedPause) << "the longest counts";
}

TEST_F(EndpointGatesTest, GoneIsFoundAtOnce) {
    const auto gone = answer(410);
    ASSERT_TRUE(gone);
    EXPECT_EQ(gone->finding, Finding::kGone);
    EXPECT_EQ(gone->reason, "the receiver answered HTTP 410");
}

TEST_F(EndpointGatesTest, FollowsAnotherEngineAndForgets) {
    gates_.open_breaker(7, time_.mono());
    EXPECT_EQ(most(), kTries);
    EXPECT_TRUE(gates_.is_open(7));
    EXPECT_FALSE(gates_.failing(7, time_.mono())) << "it has found nothing itself";
    EXPECT_EQ(gates_.endpoints(), std::vector<core::EndpointId>{7});
    gates_.forget(7);
    EXPECT_EQ(most(), kNoGate);
    EXPECT_FALSE(gates_.failing(7, time_.mono()));
}

}  // namespace
}  // namespace messaging::engine
