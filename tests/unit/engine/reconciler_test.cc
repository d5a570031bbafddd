// When the reconciler runs a round, and over how many rows.
#include "engine/reconciler.h"

#include <gtest/gtest.h>

#include "engine/reconcile_store.h"
#include "support/fake_ports.h"
#include "support/fake_time.h"
#include "support/fixed_random.h"

namespace messaging::engine {
namespace {

using std::chrono::milliseconds;
using test::take_first;

class ReconcilerTest : public testing::Test {
protected:
    ReconcilerTest() {
        reconciler_.start();
        time_.advance(milliseconds(0));
    }
    void answer(std::size_t found, milliseconds wait, milliseconds cost = milliseconds(40)) {
        take_first(store_.rounds).answer(ReconcileRound{found, wait, cost, {}});
    }

    test::FakeTime time_;
    test::FixedRandom random_{0.0};  // no jitter
    test::FakeReconcileStore store_;
    std::size_t found_ = 0;
    int errors_ = 0;
    Reconciler reconciler_{store_,
                           time_,
                           random_,
                           {.on_round = [this](const ReconcileRound& round) { found_ += round.found; },
                            .on_error = [this](const core::Error&) { ++errors_; }}};
};

TEST_F(ReconcilerTest, RunsARoundAtOnceAndThenWhenTheDatabaseSays) {
    EXPECT_EQ(store_.rounds.at(0).request, kReconcileRows);
    answer(3, milliseconds(2000));
    EXPECT_EQ(found_, 3u);
    time_.advance(milliseconds(1999));
    EXPECT_TRUE(store_.rounds.empty());
    time_.advance(milliseconds(1));
    EXPECT_EQ(store_.rounds.size(), 1u);
}

TEST_F(ReconcilerTest, ACostlyRoundIsFollowedByALargerOneUpToABound) {
    std::vector<int> rows;
    for (int i = 0; i < 6; ++i) {
        rows.push_back(store_.rounds.at(0).request);
        answer(0, milliseconds(1), kCostlyRound + milliseconds(1));
        time_.advance(milliseconds(1));
    }
    EXPECT_EQ(rows, (std::vector<int>{100'000, 200'000, 400'000, 800'000, 1'000'000, 1'000'000}));
    answer(0, milliseconds(1));
    time_.advance(milliseconds(1));
    EXPECT_EQ(store_.rounds.at(0).request, 500'000);
}

TEST_F(ReconcilerTest, ARoundThatCannotFinishIsFollowedByASmallerOne) {
    take_first(store_.rounds).answer(core::Error{core::ErrorKind::kTimeout, "statement timeout", "57014"});
    EXPECT_EQ(errors_, 1);
    time_.advance(kReconcileRetry);
    EXPECT_EQ(store_.rounds.at(0).request, kReconcileRows / 2);
}

TEST_F(ReconcilerTest, AFailureIsToldAndTriedAgain) {
    take_first(store_.rounds).answer(test::unavailable());
    EXPECT_EQ(errors_, 1);
    EXPECT_EQ(found_, 0u);
    time_.advance(kReconcileRetry);
    EXPECT_EQ(store_.rounds.at(0).request, kReconcileRows);
}

TEST_F(ReconcilerTest, ANewSessionRunsARoundAtOnce) {
    answer(0, milliseconds(15'000));
    reconciler_.start();
    time_.advance(milliseconds(0));
    EXPECT_EQ(store_.rounds.size(), 1u);
}

}  // namespace
}  // namespace messaging::engine
