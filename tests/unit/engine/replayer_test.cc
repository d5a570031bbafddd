// When the replayer runs a round.
#include "engine/replayer.h"

#include <gtest/gtest.h>

#include "support/fake_ports.h"
#include "support/fake_time.h"
#include "support/fixed_random.h"

namespace messaging::engine {
namespace {

using std::chrono::milliseconds;
using test::take_first;

class ReplayerTest : public testing::Test {
protected:
    ReplayerTest() {
        replayer_.start();
        time_.advance(milliseconds(0));
    }

    test::FakeTime time_;
    test::FixedRandom random_{0.0};  // no jitter
    test::FakeReplayRounds rounds_;
    std::size_t replayed_ = 0;
    int errors_ = 0;
    Replayer replayer_{rounds_,
                       time_,
                       random_,
                       {.on_round = [this](const ReplayRound& round) { replayed_ += round.replayed; },
                        .on_error = [this](const core::Error&) { ++errors_; }}};
};

TEST_F(ReplayerTest, RunsARoundAtOnceAndThenWhenTheDatabaseSays) {
    take_first(rounds_.rounds).answer(ReplayRound{100, 1, milliseconds(30)});
    EXPECT_EQ(replayed_, 100u);
    time_.advance(milliseconds(29));
    EXPECT_TRUE(rounds_.rounds.empty());
    time_.advance(milliseconds(1));
    EXPECT_EQ(rounds_.rounds.size(), 1u);
}

TEST_F(ReplayerTest, AFailureIsToldAndTriedAgain) {
    take_first(rounds_.rounds).answer(test::unavailable());
    EXPECT_EQ(errors_, 1);
    time_.advance(kReplayRetry - milliseconds(1));
    EXPECT_TRUE(rounds_.rounds.empty());
    time_.advance(milliseconds(1));
    EXPECT_EQ(rounds_.rounds.size(), 1u);
}

TEST_F(ReplayerTest, ANewSessionRunsARoundAtOnce) {
    take_first(rounds_.rounds).answer(ReplayRound{0, 0, milliseconds(1000)});
    replayer_.start();
    time_.advance(milliseconds(0));
    EXPECT_EQ(rounds_.rounds.size(), 1u);
}

}  // namespace
}  // namespace messaging::engine
