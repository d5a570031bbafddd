// Looking, judging and taking over, one call at a time.
#include "service/rescuer.h"

#include <gtest/gtest.h>

#include "support/fake_ports.h"
#include "support/fake_time.h"
#include "support/fixed_random.h"

namespace messaging::service {
namespace {

using test::take_first;
using Signs = std::vector<InstanceSign>;

class RescuerTest : public testing::Test {
protected:
    RescuerTest() { rescuer_.start(); }
    // Looks once a period for so long; adoptions on the way find nothing.
    void look_for(std::chrono::milliseconds time, const Signs& signs) {
        for (std::chrono::milliseconds passed{0}; passed < time; passed += kLookPeriod) {
            time_.advance(kLookPeriod);
            take_first(presence_.looks).answer(signs);
            while (!presence_.rescues.empty()) {
                auto rescue = take_first(presence_.rescues);
                dead_.insert(dead_.end(), rescue.request.dead.begin(), rescue.request.dead.end());
                rescue.answer(std::vector<AdoptedDelivery>{});
            }
        }
    }

    test::FakeTime time_;
    test::FixedRandom random_{0.5};
    test::FakePresenceStore presence_;
    test::FakeObserver observer_;
    std::vector<core::InstanceId> dead_;
    Rescuer rescuer_{presence_,
                     time_,
                     time_,
                     random_,
                     observer_,
                     {[] { return core::InstanceId{1}; }, [] { return std::vector<core::ClaimId>{}; },
                      [](const std::vector<AdoptedDelivery>&) {}}};
};

TEST_F(RescuerTest, TakesOverFromADeadOneWithinTwoSeconds) {
    look_for(std::chrono::seconds(2), {{9, true, false}});
    ASSERT_FALSE(dead_.empty());
    EXPECT_EQ(dead_.front(), 9);
}

TEST_F(RescuerTest, LeavesWhoIsBackInTimeAlone) {
    look_for(std::chrono::milliseconds(750), {{9, true, false}});
    look_for(std::chrono::milliseconds(250), {{9, false, false}});
    look_for(std::chrono::milliseconds(750), {{9, true, false}});
    EXPECT_TRUE(dead_.empty());
}

TEST_F(RescuerTest, EndsTheSessionOfAHungOne) {
    look_for(kHungAfter + kLookPeriod, {{9, false, true}});
    ASSERT_FALSE(presence_.endings.empty());
    EXPECT_EQ(presence_.endings.front().request, std::vector<core::InstanceId>{9});
    take_first(presence_.endings).answer(std::size_t{1});
    EXPECT_EQ(observer_.hung, 1u);
    EXPECT_TRUE(dead_.empty()) << "its lock is not free yet";
}

TEST_F(RescuerTest, AVainLookMakesEarlierOnesWorthless) {
    look_for(std::chrono::milliseconds(750), {{9, true, false}});
    time_.advance(kLookPeriod);
    take_first(presence_.looks).answer(test::unavailable());
    look_for(std::chrono::milliseconds(750), {{9, true, false}});
    EXPECT_TRUE(dead_.empty());
    EXPECT_EQ(observer_.troubles["look at others"], 1);
}

TEST_F(RescuerTest, AnAnswerThatComesAfterTheStopIsIgnored) {
    time_.advance(kLookPeriod);
    auto look = take_first(presence_.looks);
    rescuer_.stop();
    look.answer(Signs{});
    time_.advance(std::chrono::seconds(5));
    EXPECT_TRUE(presence_.rescues.empty() && presence_.looks.empty());
}

}  // namespace
}  // namespace messaging::service
