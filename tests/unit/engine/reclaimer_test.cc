// Looking, judging and reclaiming, one call at a time.
#include "engine/reclaimer.h"

#include <gtest/gtest.h>

#include "engine/instance_store.h"
#include "support/fake_ports.h"
#include "support/fake_time.h"
#include "support/fixed_random.h"

namespace messaging::engine {
namespace {

using test::take_first;
using Signs = std::vector<LivenessSample>;

class ReclaimerTest : public testing::Test {
protected:
    ReclaimerTest() { reclaimer_.start(); }
    // Looks once a period for so long; reclaims on the way find nothing.
    void look_for(std::chrono::milliseconds time, const Signs& signs) {
        for (std::chrono::milliseconds passed{0}; passed < time; passed += kCheckPeriod) {
            time_.advance(kCheckPeriod);
            take_first(instances_.samples).answer(signs);
            while (!instances_.reclaims.empty()) {
                auto reclaim = take_first(instances_.reclaims);
                failed_.insert(failed_.end(), reclaim.request.begin(), reclaim.request.end());
                reclaim.answer(Reclaimed{});
            }
        }
    }

    test::FakeTime time_;
    test::FixedRandom random_{0.5};
    test::FakeInstanceStore instances_;
    test::FakeObserver observer_;
    std::vector<core::InstanceId> failed_;
    Reclaimer reclaimer_{instances_,
                         time_,
                         time_,
                         random_,
                         observer_,
                         std::chrono::seconds(2),
                         {.instance_id = [] { return core::InstanceId{1}; },
                          .on_reclaimed = [this](const Reclaimed& reclaimed) { reclaimed_ += reclaimed.messages; },
                          .on_instance_gone = [this] { ++gone_; }}};
    std::size_t reclaimed_ = 0;
    int gone_ = 0;
};

TEST_F(ReclaimerTest, ReclaimsFromAFailedOneWithinTwoSeconds) {
    look_for(std::chrono::seconds(2), {{9, true, false}});
    ASSERT_FALSE(failed_.empty());
    EXPECT_EQ(failed_.front(), 9);
}

TEST_F(ReclaimerTest, LeavesWhoIsBackInTimeAlone) {
    look_for(std::chrono::milliseconds(750), {{9, true, false}});
    look_for(std::chrono::milliseconds(250), {{9, false, false}});
    look_for(std::chrono::milliseconds(750), {{9, true, false}});
    EXPECT_TRUE(failed_.empty());
}

TEST_F(ReclaimerTest, EndsTheSessionOfAnUnresponsiveOne) {
    look_for(kUnresponsiveAfter + kCheckPeriod, {{9, false, true}});
    ASSERT_FALSE(instances_.endings.empty());
    EXPECT_EQ(instances_.endings.front().request, std::vector<core::InstanceId>{9});
    take_first(instances_.endings).answer(std::size_t{1});
    EXPECT_EQ(observer_.ended_sessions, 1u);
    EXPECT_TRUE(failed_.empty()) << "its lock is not free yet";
}

// Regression: the doorbell's lock went with an instance that slept with it, and nobody asked for it again.
TEST_F(ReclaimerTest, TellsAtOnceWhenAnInstanceHasGoneAndOnlyOnce) {
    look_for(kCheckPeriod, {{9, false, false}});
    EXPECT_EQ(gone_, 0);
    look_for(kCheckPeriod, {{9, true, false}});
    EXPECT_EQ(gone_, 1);
    look_for(kCheckPeriod, {{9, true, false}});
    EXPECT_EQ(gone_, 1);
    EXPECT_TRUE(failed_.empty()) << "it may come back";
}

TEST_F(ReclaimerTest, AFullRoundOfReclaimsIsFollowedByTheNext) {
    look_for(kFailedAfter, {{9, true, false}});
    time_.advance(kCheckPeriod);
    take_first(instances_.samples).answer(Signs{{9, true, false}});
    ASSERT_EQ(instances_.reclaims.size(), 1u);
    take_first(instances_.reclaims).answer(Reclaimed{static_cast<std::size_t>(kReclaimClaims), 900});
    EXPECT_EQ(reclaimed_, 900u);
    time_.advance(kCheckPeriod);
    take_first(instances_.samples).answer(Signs{});
    EXPECT_EQ(instances_.reclaims.size(), 1u) << "not only after kReclaimPeriod";
}

// A reader's finding: one row that refused an UPDATE kept a whole failed instance's messages in the ledger for ever.
TEST_F(ReclaimerTest, AReclaimThatOneRowRefusesIsRepeatedWithoutCounting) {
    look_for(kFailedAfter, {{9, true, false}});
    const auto next = [&] {
        for (int i = 0; instances_.reclaims.empty() && i < 20; ++i) {
            time_.advance(kCheckPeriod);
            take_first(instances_.samples).answer(Signs{{9, true, false}});
        }
        ASSERT_FALSE(instances_.reclaims.empty());
    };
    next();
    EXPECT_TRUE(instances_.last_reclaim_counted);
    take_first(instances_.reclaims).answer(core::Error{core::ErrorKind::kInvalid, "violates check constraint", "23514"});
    next();
    EXPECT_FALSE(instances_.last_reclaim_counted);
    take_first(instances_.reclaims).answer(Reclaimed{1, 2});
    next();
    EXPECT_TRUE(instances_.last_reclaim_counted) << "the next failed instance is another matter";
    take_first(instances_.reclaims).answer(test::unavailable());
    next();
    EXPECT_TRUE(instances_.last_reclaim_counted);
}

TEST_F(ReclaimerTest, AFailedSampleMakesEarlierOnesWorthless) {
    look_for(std::chrono::milliseconds(750), {{9, true, false}});
    time_.advance(kCheckPeriod);
    take_first(instances_.samples).answer(test::unavailable());
    look_for(std::chrono::milliseconds(750), {{9, true, false}});
    EXPECT_TRUE(failed_.empty());
    EXPECT_EQ(observer_.errors["check instances"], 1);
}

TEST_F(ReclaimerTest, AnAnswerThatComesAfterTheStopIsIgnored) {
    time_.advance(kCheckPeriod);
    auto sample = take_first(instances_.samples);
    reclaimer_.stop();
    sample.answer(Signs{});
    time_.advance(std::chrono::seconds(5));
    EXPECT_TRUE(instances_.reclaims.empty() && instances_.samples.empty());
}

}  // namespace
}  // namespace messaging::engine
