// When requests to endpoints with a rate limit may begin.
#include "engine/rate_limiter.h"

#include <gtest/gtest.h>

#include "support/fake_ports.h"
#include "support/fake_time.h"

namespace messaging::engine {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using test::take_first;

class RateLimiterTest : public testing::Test {
protected:
    RateLimiterTest() { limiter_.set_rate(7, 100); }
    void want(std::size_t waiting) {
        limiter_.want(7, waiting);
        limiter_.reserve_wanted();
    }
    void grant(int count, std::chrono::microseconds begins_in = {}) {
        take_first(stores_.reservations).answer(std::vector<RateGrant>{{7, count, begins_in}});
    }

    test::FakeTime time_;
    test::FakeEngineStores stores_;
    test::FakeObserver observer_;
    std::vector<core::EndpointId> told_;
    RateLimiter limiter_{stores_, time_, time_, observer_,
                         [this](const auto& endpoints) { told_.insert(told_.end(), endpoints.begin(), endpoints.end()); }};
};

TEST_F(RateLimiterTest, ReservesForWhatWaitsAQuarterOfASecondAheadAtMost) {
    want(3);
    ASSERT_EQ(stores_.reservations.size(), 1u);
    EXPECT_EQ(stores_.reservations[0].request[0].count, 3);
    EXPECT_EQ(stores_.reservations[0].request[0].rate, 100);
    want(500);
    EXPECT_EQ(stores_.reservations.size(), 1u) << "one at a time";
    grant(3);
    for (int i = 0; i < 3; ++i) {
        time_.advance(milliseconds(10));
        limiter_.begin(7);
    }
    want(500);
    ASSERT_EQ(stores_.reservations.size(), 1u);
    EXPECT_EQ(stores_.reservations[0].request[0].count, 25);
}

TEST_F(RateLimiterTest, RequestsBeginOneAfterTheOther) {
    want(3);
    grant(3, milliseconds(20));
    EXPECT_EQ(told_.size(), 1u);
    EXPECT_EQ(limiter_.allowed(7), 0u);
    want(3);
    time_.advance(milliseconds(20));
    EXPECT_EQ(told_.size(), 2u) << "its moment has come";
    EXPECT_EQ(limiter_.allowed(7), 1u);
    limiter_.begin(7);
    EXPECT_EQ(limiter_.allowed(7), 0u);
    time_.advance(milliseconds(9));
    EXPECT_EQ(limiter_.allowed(7), 0u);
    time_.advance(milliseconds(11));
    EXPECT_EQ(limiter_.allowed(7), 2u) << "two that are a little late";
}

TEST_F(RateLimiterTest, MomentsThatAreMissedAreLost) {
    want(10);
    grant(10);
    time_.advance(milliseconds(295));
    EXPECT_EQ(limiter_.allowed(7), 5u) << "of the last 250 ms";
    time_.advance(seconds(1));
    EXPECT_EQ(limiter_.allowed(7), 0u);
    want(10);
    EXPECT_EQ(stores_.reservations.size(), 1u);
}

TEST_F(RateLimiterTest, ARequestWithoutAMomentLeavesALaterOneUnused) {
    want(3);
    grant(3);
    EXPECT_EQ(limiter_.allowed(7), 1u);
    limiter_.charge(7, 2);
    EXPECT_EQ(limiter_.allowed(7), 0u);
    time_.advance(milliseconds(20));
    EXPECT_EQ(limiter_.allowed(7), 1u) << "the third";
    limiter_.begin(7);
    limiter_.charge(7, 4);
    want(5);
    ASSERT_EQ(stores_.reservations.size(), 1u);
    EXPECT_EQ(stores_.reservations[0].request[0].count, 9) << "what is owed, too";
    grant(9);
    time_.advance(milliseconds(39));
    EXPECT_EQ(limiter_.allowed(7), 0u);
    time_.advance(milliseconds(1));
    EXPECT_EQ(limiter_.allowed(7), 1u);
    limiter_.charge(7, 1'000'000);
    time_.advance(seconds(10));
    for (int i = 0; i < 4; ++i) {
        want(500);
        grant(25);
        EXPECT_EQ(limiter_.allowed(7), 0u) << "they are owed";
    }
    time_.advance(milliseconds(200));
    EXPECT_EQ(limiter_.allowed(7), 1u) << "a second's at most: five had been reserved, and twenty of these are owed";
}

TEST_F(RateLimiterTest, AFailedReservationIsRepeatedLater) {
    want(1);
    take_first(stores_.reservations).answer(test::unavailable());
    EXPECT_EQ(observer_.errors[kRateLimitOperation], 1);
    want(1);
    EXPECT_TRUE(stores_.reservations.empty());
    time_.advance(kReserveRetry);
    EXPECT_EQ(stores_.reservations.size(), 1u);
    grant(1);
    EXPECT_EQ(limiter_.allowed(7), 1u);
}

TEST_F(RateLimiterTest, AnEndpointWithoutAGrantIsAskedForAgainSoonAndDelaysNoOther) {
    limiter_.set_rate(8, 100);
    limiter_.want(7, 1);
    limiter_.want(8, 1);
    limiter_.reserve_wanted();
    take_first(stores_.reservations).answer(std::vector<RateGrant>{{8, 1, {}}});
    EXPECT_EQ(told_, (std::vector<core::EndpointId>{8}));
    EXPECT_EQ(limiter_.allowed(8), 1u);
    want(1);
    EXPECT_TRUE(stores_.reservations.empty()) << "not at once";
    time_.advance(kLockedRateRetry);
    EXPECT_EQ(told_, (std::vector<core::EndpointId>{8, 7}));
    want(1);
    EXPECT_EQ(stores_.reservations.size(), 1u);
    grant(1);
    EXPECT_EQ(limiter_.allowed(7), 1u);
}

TEST_F(RateLimiterTest, ALimitThatIsRemovedIsForgotten) {
    want(1);
    limiter_.set_rate(7, std::nullopt);
    EXPECT_FALSE(limiter_.limits(7));
    told_.clear();
    grant(1);
    EXPECT_TRUE(told_.empty());
}

TEST_F(RateLimiterTest, MomentsOfAFormerRateAreNotUsed) {
    want(25);
    grant(25);
    EXPECT_EQ(limiter_.allowed(7), 1u);
    limiter_.set_rate(7, 1);
    EXPECT_EQ(limiter_.allowed(7), 0u);
    want(25);
    limiter_.set_rate(7, 2);
    grant(1);
    EXPECT_EQ(limiter_.allowed(7), 0u) << "nor what was under way";
}

TEST_F(RateLimiterTest, TwoEndpointsHaveMomentsOfTheirOwn) {
    limiter_.set_rate(8, 1);
    limiter_.want(7, 1);
    limiter_.want(8, 5);
    limiter_.reserve_wanted();
    ASSERT_EQ(stores_.reservations.size(), 1u) << "one statement for both";
    ASSERT_EQ(stores_.reservations[0].request.size(), 2u);
    EXPECT_EQ(stores_.reservations[0].request[1].count, 1) << "a second's";
    take_first(stores_.reservations).answer(std::vector<RateGrant>{{7, 1, milliseconds(50)}, {8, 1, milliseconds(30)}});
    limiter_.want(7, 1);
    limiter_.want(8, 5);
    told_.clear();
    time_.advance(milliseconds(30));
    EXPECT_EQ(told_, (std::vector<core::EndpointId>{8}));
    time_.advance(milliseconds(20));
    EXPECT_EQ(told_, (std::vector<core::EndpointId>{8, 7}));
}

}  // namespace
}  // namespace messaging::engine
