// When the engine takes what from the database.
#include "service/claimer.h"

#include <gtest/gtest.h>

#include "support/fake_ports.h"
#include "support/fake_time.h"
#include "support/fixed_random.h"

namespace messaging::service {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using test::take_first;

class ClaimerTest : public testing::Test {
protected:
    // Becoming active: the orphans come back, what is due, then a sweep.
    void activate() {
        claimer_.set_active(true);
        take_first(store_.orphans).answer(std::size_t{0});
        answer_due();
        answer_ready(0, 50);
        take_first(store_.orphans).answer(std::size_t{0});  // they come with every sweep
    }
    void answer_due(std::optional<milliseconds> next = std::nullopt) {
        ClaimBatch batch;
        batch.next_due = next;
        take_first(store_.due).answer(batch);
    }
    ClaimRequest answer_ready(std::size_t taken, Floor next_floor, bool running = true) {
        auto call = take_first(store_.ready);
        ClaimBatch batch;
        batch.taken = taken;
        for (std::size_t i = 0; i < taken; ++i) batch.deliveries.push_back(test::delivery(static_cast<core::MessageId>(i)));
        batch.next_floor = next_floor;
        batch.last = {next_floor - 1, 777};
        batch.running = running;
        call.answer(batch);
        return call.request;
    }

    test::FakeTime time_;
    test::FixedRandom random_{0.5};  // no jitter
    test::FakeQueueStore store_;
    test::FakeObserver observer_;
    std::size_t room_ = 5000;
    std::size_t claimed_ = 0;
    int stopped_ = 0;
    int idles_ = 0;
    int found_by_fallback_ = 0;
    int overloads_ = 0;
    Claimer claimer_{
        store_,
        time_,
        time_,
        random_,
        observer_,
        {[] { return 5; }, [this] { return room_; }, [] { return std::vector<core::ClaimId>{}; },
         [this](const std::vector<core::Delivery>& deliveries) { claimed_ += deliveries.size(); }, [this] { ++stopped_; },
         [this] { ++idles_; }, [this](std::size_t, bool by_fallback) { found_by_fallback_ += by_fallback ? 1 : 0; },
         [this] { ++overloads_; }}};
};

TEST_F(ClaimerTest, BeginsWithOrphansDueOnesAndASweep) {
    claimer_.set_active(true);
    ASSERT_EQ(store_.orphans.size(), 1u);
    EXPECT_TRUE(store_.due.empty() && store_.ready.empty()) << "one statement at a time";
    take_first(store_.orphans).answer(std::size_t{0});
    answer_due();
    EXPECT_EQ(answer_ready(0, 50).behind.xid, 0u) << "a sweep";
    EXPECT_EQ(claimer_.floor(), 50u);
    take_first(store_.orphans).answer(std::size_t{0});
    EXPECT_TRUE(claimer_.idle());
}

TEST_F(ClaimerTest, ARingClaimsAtOnceFromTheFloorOn) {
    activate();
    claimer_.ring();
    ASSERT_EQ(store_.ready.size(), 1u);
    claimer_.ring();  // while under way: once more afterwards
    EXPECT_EQ(answer_ready(3, 60).behind.xid, 50u);
    EXPECT_EQ(answer_ready(0, 61).behind.xid, 60u);
    EXPECT_TRUE(store_.ready.empty());
    EXPECT_EQ(claimed_, 3u);
}

TEST_F(ClaimerTest, FullClaimsGoOnWhereTheLastOneEndedAndMoveNoFloor) {
    activate();
    claimer_.ring();
    EXPECT_EQ(store_.ready.front().request.limit, kMaxClaim);
    answer_ready(kMaxClaim, 70);
    const ClaimRequest second = answer_ready(kMaxClaim, 70);
    EXPECT_EQ(second.behind.xid, 69u);
    EXPECT_EQ(second.behind.id, 777);
    answer_ready(1, 71);
    EXPECT_EQ(claimer_.floor(), 50u) << "what lies before that place was not looked at";
    EXPECT_EQ(answer_ready(1, 72).behind.xid, 50u);
    EXPECT_EQ(claimer_.floor(), 72u);
    EXPECT_TRUE(store_.ready.empty());
}

TEST_F(ClaimerTest, WhileClaimsAreFullASweepStillComesOnTime) {
    activate();
    claimer_.ring();
    std::vector<int> sweeps;
    for (int second = 0; second < 12; ++second) {
        for (int i = 0; i < 10; ++i) {
            if (answer_ready(kMaxClaim, 70).behind.xid == 0) sweeps.push_back(second);
            if (!store_.orphans.empty()) take_first(store_.orphans).answer(std::size_t{0});
            time_.advance(milliseconds(100));
            if (!store_.due.empty()) answer_due();
        }
    }
    EXPECT_EQ(sweeps, (std::vector<int>{5, 10}));
}

TEST_F(ClaimerTest, TakesNoMoreThanThereIsRoomAndWaitsForRoom) {
    activate();
    room_ = 10;
    claimer_.ring();
    EXPECT_EQ(store_.ready.front().request.limit, 10);
    room_ = 0;
    answer_ready(10, 51);
    EXPECT_TRUE(store_.ready.empty());
    claimer_.on_room();
    EXPECT_TRUE(store_.ready.empty());
    room_ = 4;
    claimer_.on_room();
    EXPECT_EQ(answer_ready(0, 52).limit, 4);
}

TEST_F(ClaimerTest, WhatIsPutOffIsClaimedWhenItFallsDueNotAtTheNextTick) {
    activate();
    claimer_.expect_due(milliseconds(400));
    claimer_.expect_due(milliseconds(100));
    claimer_.expect_due(milliseconds(300));
    time_.advance(milliseconds(99));
    EXPECT_TRUE(store_.due.empty());
    time_.advance(milliseconds(1));
    ASSERT_EQ(store_.due.size(), 1u);
    answer_due(milliseconds(200));
    time_.advance(milliseconds(200));
    EXPECT_EQ(store_.due.size(), 1u);
}

TEST_F(ClaimerTest, TheFallbackLooksEverySecond) {
    activate();
    time_.advance(kFallbackPeriod - milliseconds(1));
    EXPECT_TRUE(store_.due.empty());
    time_.advance(milliseconds(1));
    answer_due();
    EXPECT_EQ(answer_ready(0, 60).behind.xid, 50u);
}

TEST_F(ClaimerTest, ASweepComesEveryFewSecondsWithTheOrphans) {
    activate();
    int sweeps = 0;
    int orphans = 0;
    for (int i = 0; i < 10; ++i) {
        time_.advance(kFallbackPeriod);
        while (!store_.orphans.empty() || !store_.due.empty() || !store_.ready.empty()) {
            if (!store_.orphans.empty()) {
                ++orphans;
                take_first(store_.orphans).answer(std::size_t{0});
            } else if (!store_.due.empty()) {
                answer_due();
            } else if (answer_ready(0, 60).behind.xid == 0) {
                ++sweeps;
            }
        }
    }
    EXPECT_EQ(sweeps, 2);
    EXPECT_GE(orphans, 2);
}

TEST_F(ClaimerTest, AScheduledMessageIsClaimedWhenItIsDue) {
    activate();
    time_.advance(kFallbackPeriod);
    answer_due(milliseconds(300));
    answer_ready(0, 60);
    time_.advance(milliseconds(299));
    EXPECT_TRUE(store_.due.empty());
    time_.advance(milliseconds(1));
    EXPECT_EQ(store_.due.size(), 1u);
}

TEST_F(ClaimerTest, AFailureIsToldAndTriedAgain) {
    activate();
    claimer_.ring();
    take_first(store_.ready).answer(test::unavailable());
    EXPECT_EQ(observer_.troubles["claim"], 1);
    EXPECT_TRUE(store_.ready.empty()) << "not in a tight loop";
    time_.advance(kFallbackPeriod);
    answer_due();
    EXPECT_EQ(store_.ready.size(), 1u);
}

TEST_F(ClaimerTest, ANewSessionForgetsTheFloorAndAsksForOrphans) {
    activate();
    claimer_.on_session_up();
    take_first(store_.orphans).answer(std::size_t{2});
    answer_due();
    EXPECT_EQ(answer_ready(0, 80).behind.xid, 0u);
}

TEST_F(ClaimerTest, TellsWhenAClaimSawTheServiceStopped) {
    activate();
    claimer_.ring();
    answer_ready(0, 99, false);
    EXPECT_EQ(stopped_, 1);
    EXPECT_EQ(claimer_.floor(), 50u) << "a claim that did not look tells nothing of the floor";
}

TEST_F(ClaimerTest, TellsWhenNothingIsLeftAndWhenThereIsMoreThanRoom) {
    activate();
    EXPECT_EQ(idles_, 1);
    claimer_.ring();
    answer_ready(2, 60);
    EXPECT_EQ(idles_, 2);
    room_ = 10;
    claimer_.ring();
    room_ = 0;
    answer_ready(10, 61);
    EXPECT_EQ(overloads_, 1);
    EXPECT_EQ(idles_, 2);
}

TEST_F(ClaimerTest, KnowsWhatOnlyTheFallbackFound) {
    activate();
    time_.advance(kFallbackPeriod);
    answer_due();
    answer_ready(1, 60);
    EXPECT_EQ(found_by_fallback_, 1);
    time_.advance(kFallbackPeriod - milliseconds(1));
    claimer_.ring();
    answer_ready(1, 61);
    EXPECT_EQ(found_by_fallback_, 1);
}

TEST_F(ClaimerTest, InactiveItClaimsNothing) {
    activate();
    claimer_.set_active(false);
    claimer_.ring();
    claimer_.on_session_up();
    time_.advance(seconds(60));
    EXPECT_TRUE(store_.ready.empty() && store_.due.empty() && store_.orphans.empty());
}

}  // namespace
}  // namespace messaging::service
