// When the engine takes what from the database.
#include "engine/claimer.h"

#include <gtest/gtest.h>

#include "engine/claim_store.h"
#include "engine/doorbell.h"
#include "engine/queue_position.h"
#include "support/fake_ports.h"
#include "support/fake_time.h"
#include "support/fixed_random.h"

namespace messaging::engine {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using test::take_first;

class ClaimerTest : public testing::Test {
protected:
    // Becoming active: the orphans are rescheduled, then a full scan, then what is due.
    void activate() {
        claimer_.set_active(true);
        answer_orphans();
        answer_ready(0, 50);
        answer_orphans();  // they come with every full scan
        answer_due();
    }
    // Lets time pass, and answers everything else with nothing, until a claim of this kind is asked for.
    void wait_for(const std::deque<test::Call<ClaimRequest, ClaimBatch>>& wanted) {
        for (int i = 0; wanted.empty() && i < 1000; ++i) {
            if (!store_.due.empty()) {
                answer_due();
            } else if (!store_.ready.empty()) {
                answer_ready(0, 50);
            } else if (!store_.orphans.empty()) {
                answer_orphans();
            } else {
                time_.advance(milliseconds(10));
            }
        }
        ASSERT_FALSE(wanted.empty());
    }
    void wait_for_ready() { wait_for(store_.ready); }
    void wait_for_due() { wait_for(store_.due); }
    void wait_for_full_scan() {
        wait_for_ready();
        for (int i = 0; store_.ready.front().request.behind.xid != 0 && i < 100; ++i) {
            answer_ready(0, 50);
            wait_for_ready();
        }
        ASSERT_EQ(store_.ready.front().request.behind.xid, 0u);
    }
    void answer_orphans(OrphanCount count = {}) { take_first(store_.orphans).answer(count); }
    void answer_due(std::optional<milliseconds> next = std::nullopt) {
        ClaimBatch batch;
        batch.next_due = next;
        take_first(store_.due).answer(batch);
    }
    ClaimRequest answer_due_at(DueTime now, std::size_t taken, DueTime last_due) {
        auto call = take_first(store_.due);
        ClaimBatch batch;
        batch.now = now;
        batch.taken = taken;
        batch.last_due = last_due;
        if (taken == static_cast<std::size_t>(call.request.limit)) batch.next_due = milliseconds(0);
        call.answer(batch);
        return call.request;
    }
    ClaimRequest answer_ready(std::size_t taken, Xid next_floor, bool running = true) {
        auto call = take_first(store_.ready);
        ClaimBatch batch;
        batch.taken = taken;
        for (std::size_t i = 0; i < taken; ++i) batch.deliveries.push_back(test::delivery(static_cast<core::MessageId>(i)));
        batch.snapshot.xmax = next_floor;
        batch.last = {next_floor - 1, 777};
        batch.running = running;
        call.answer(batch);
        return call.request;
    }

    // As the doorbell does.
    void SetUp() override { period_->start(kPollPeriod); }

    test::FakeTime time_;
    test::FixedRandom random_{0.5};  // no jitter
    test::FakeEngineStores store_;
    test::FakeObserver observer_;
    std::size_t room_ = 5000;
    std::vector<core::EndpointCapacity> held_capacities_;
    std::size_t claimed_ = 0;
    int stopped_ = 0;
    int idles_ = 0;
    int found_by_poll_ = 0;
    int overloads_ = 0;
    Claimer claimer_{store_,
                     time_,
                     time_,
                     random_,
                     observer_,
                     kMaxClaim,
                     {.instance_id = [] { return 5; },
                      .capacity = [this] { return room_; },
                      .held_capacities = [this] { return held_capacities_; },
                      .other_held_capacity = [] { return 8; },
                      .known_claims = [] { return std::vector<core::ClaimId>{7}; },
                      .messages_in_memory = [] { return std::vector<core::MessageId>{70}; },
                      .on_claimed = [this](const std::vector<core::Delivery>& deliveries) { claimed_ += deliveries.size(); },
                      .on_stopped = [this] { ++stopped_; },
                      .on_idle = [this] { ++idles_; },
                      .on_found = [this](std::size_t, bool by_poll) { found_by_poll_ += by_poll ? 1 : 0; },
                      .on_overload = [this] { ++overloads_; }}};
    std::unique_ptr<loop::Timer> period_ = time_.make_timer([this] {
        period_->start(kPollPeriod);
        claimer_.poll_all();
    });
};

const core::Error kTooSlow{core::ErrorKind::kTimeout, "canceling statement due to statement timeout", "57014"};
const core::Error kUnreadable{core::ErrorKind::kInvalid, "cannot subtract infinite timestamps", "22008"};

TEST_F(ClaimerTest, BeginsWithOrphansAFullScanAndDueOnes) {
    claimer_.set_active(true);
    ASSERT_EQ(store_.orphans.size(), 1u);
    EXPECT_EQ(store_.orphans.front().request.known, std::vector<core::ClaimId>{7});
    EXPECT_EQ(store_.orphans.front().request.in_memory, std::vector<core::MessageId>{70});
    EXPECT_TRUE(store_.due.empty() && store_.ready.empty()) << "one statement at a time";
    answer_orphans();
    EXPECT_EQ(answer_ready(0, 50).behind.xid, 0u) << "a full scan";
    EXPECT_EQ(claimer_.lowest_floor(), 50u);
    answer_orphans();
    answer_due();
    EXPECT_TRUE(claimer_.idle());
}

TEST_F(ClaimerTest, EachClaimHasANumberOfItsOwn) {
    activate();
    claimer_.poll();
    const core::ClaimId first = answer_ready(kMaxClaim, 60).claim_id;
    const core::ClaimId second = answer_ready(kMaxClaim, 60).claim_id;
    EXPECT_GT(first, 0);
    EXPECT_NE(first, second);
}

// Regression: due claims that were always full kept new messages waiting for ever.
TEST_F(ClaimerTest, ReadyAndDueClaimsTakeTurnsWhileBothAreFull) {
    activate();
    claimer_.poll();
    time_.advance(kPollPeriod);
    std::string order;
    for (int i = 0; i < 12; ++i) {
        if (!store_.ready.empty()) {
            order += 'r';
            answer_ready(kMaxClaim, 60);
        } else if (!store_.due.empty()) {
            order += 'd';
            answer_due(milliseconds(0));
        } else {
            answer_orphans();
        }
    }
    EXPECT_EQ(order.find("dd"), std::string::npos) << order;
    EXPECT_NE(order.find("rdrdrd"), std::string::npos) << order;
}

// Regression: a due claim that failed was tried again before each ready claim, and nothing was sent.
TEST_F(ClaimerTest, AFailingDueClaimStepsAsideForTheReadyOnes) {
    activate();
    time_.advance(kPollPeriod);
    answer_ready(0, 60);
    take_first(store_.due).answer(kTooSlow);
    EXPECT_TRUE(store_.due.empty()) << "not in a tight loop";
    for (int i = 0; i < 5; ++i) {
        claimer_.poll();
        EXPECT_EQ(answer_ready(1, 61).limit, kMaxClaim);
    }
    EXPECT_TRUE(store_.due.empty());
    time_.advance(kFirstBackOff);
    ASSERT_EQ(store_.due.size(), 1u);
    EXPECT_EQ(store_.due.front().request.limit, kMaxClaim / 2);
}

TEST_F(ClaimerTest, FailingOrphansStepAsideForTheClaims) {
    claimer_.set_active(true);
    take_first(store_.orphans).answer(kTooSlow);
    EXPECT_EQ(store_.ready.size(), 1u);
}

// Regression: a claim that could not finish was tried again as it was.
TEST_F(ClaimerTest, AFailingClaimAsksForHalfAndGrowsAgain) {
    activate();
    claimer_.poll();
    std::vector<int> limits;
    for (int i = 0; i < 12; ++i) {
        wait_for_ready();
        limits.push_back(store_.ready.front().request.limit);
        const core::Error needs_too_much{core::ErrorKind::kUnavailable, "temporary file size exceeds temp_file_limit", "53400"};
        take_first(store_.ready).answer(i % 2 == 0 ? kTooSlow : needs_too_much);
    }
    EXPECT_EQ(limits, (std::vector<int>{1000, 500, 250, 125, 62, 31, 15, 7, 3, 1, 1, 1}));
    EXPECT_TRUE(store_.peeks.empty()) << "a time-out says nothing of the message";
    wait_for_ready();
    answer_ready(1, 60);
    EXPECT_EQ(store_.ready.front().request.limit, 2);
}

// Regression: a full scan that ran into its time-out was the next claim again, for ever.
TEST_F(ClaimerTest, AFullScanThatCannotFinishLeavesTheClaimsFromTheFloor) {
    activate();
    wait_for_full_scan();
    take_first(store_.ready).answer(kTooSlow);
    wait_for_ready();
    EXPECT_EQ(store_.ready.front().request.behind.xid, 50u);
}

TEST_F(ClaimerTest, ANewSessionWhoseFullScanCannotFinishGoesOnFromTheEarlierFloor) {
    activate();
    claimer_.on_session_up();
    answer_orphans();
    take_first(store_.ready).answer(kTooSlow);
    wait_for_ready();
    EXPECT_EQ(store_.ready.front().request.behind.xid, 50u);
}

// Regression: one row stopped all claiming.
TEST_F(ClaimerTest, TheOneMessageThatCannotBeReadIsDeadLettered) {
    activate();
    claimer_.poll();
    for (int limit = kMaxClaim; limit >= 1; limit /= 2) {
        wait_for_ready();
        ASSERT_EQ(store_.ready.front().request.limit, limit);
        take_first(store_.ready).answer(kUnreadable);
    }
    ASSERT_EQ(store_.peeks.size(), 1u) << "which one is it?";
    take_first(store_.peeks).answer(std::optional<core::MessageId>(42));
    ASSERT_EQ(store_.ready.size(), 1u);
    EXPECT_EQ(store_.ready.front().request.only, 42);
    EXPECT_TRUE(store_.dead_letters.empty()) << "not before it has failed by its name";
    take_first(store_.ready).answer(kUnreadable);
    ASSERT_EQ(store_.dead_letters.size(), 1u);
    EXPECT_EQ(store_.dead_letters.front().request.first, 42);
    EXPECT_NE(store_.dead_letters.front().request.second.find("infinite"), std::string::npos);
    take_first(store_.dead_letters).answer(core::Unit{});
    EXPECT_EQ(observer_.dead_lettered, 1u);
    wait_for_ready();
    EXPECT_FALSE(store_.ready.front().request.only) << "the others go on";
}

TEST_F(ClaimerTest, AMessageThatCanBeReadByItsNameIsSent) {
    activate();
    room_ = 1;
    claimer_.poll();
    take_first(store_.ready).answer(kUnreadable);
    take_first(store_.peeks).answer(std::optional<core::MessageId>(42));
    answer_ready(1, 60);
    EXPECT_EQ(claimed_, 1u);
    EXPECT_TRUE(store_.dead_letters.empty());
    EXPECT_EQ(store_.ready.size(), 1u) << "there may be more than this one";
}

TEST_F(ClaimerTest, MessagesNobodyHoldsAreClaimedAtOnce) {
    activate();
    wait_for_full_scan();
    answer_ready(0, 50);
    answer_orphans({.unknown = 0, .not_in_memory = 3});
    EXPECT_EQ(observer_.not_in_memory, 3u);
    EXPECT_EQ(store_.due.size(), 1u) << "they are scheduled, due now";
}

TEST_F(ClaimerTest, ANotificationClaimsAtOnceFromTheFloorOn) {
    activate();
    claimer_.poll();
    ASSERT_EQ(store_.ready.size(), 1u);
    claimer_.poll();  // while under way: once more afterwards
    EXPECT_EQ(answer_ready(3, 60).behind.xid, 50u);
    EXPECT_EQ(answer_ready(0, 61).behind.xid, 60u);
    EXPECT_TRUE(store_.ready.empty());
    EXPECT_EQ(claimed_, 3u);
}

TEST_F(ClaimerTest, FullClaimsGoOnWhereTheLastOneEndedAndMoveNoFloor) {
    activate();
    claimer_.poll();
    EXPECT_EQ(store_.ready.front().request.limit, kMaxClaim);
    answer_ready(kMaxClaim, 70);
    const ClaimRequest second = answer_ready(kMaxClaim, 70);
    EXPECT_EQ(second.behind.xid, 69u);
    EXPECT_EQ(second.behind.id, 777);
    answer_ready(1, 71);
    EXPECT_EQ(claimer_.lowest_floor(), 50u) << "what lies before that place was not looked at";
    EXPECT_EQ(answer_ready(1, 72).behind.xid, 50u);
    EXPECT_EQ(claimer_.lowest_floor(), 72u);
    EXPECT_TRUE(store_.ready.empty());
}

TEST_F(ClaimerTest, WhileClaimsAreFullAFullScanStillComesOnTime) {
    activate();
    claimer_.poll();
    std::vector<int> full_scans;
    for (int second = 0; second < 12; ++second) {
        for (int i = 0; i < 10; ++i) {
            if (!store_.due.empty()) answer_due();
            if (answer_ready(kMaxClaim, 70).behind.xid == 0) full_scans.push_back(second);
            if (!store_.orphans.empty()) answer_orphans();
            time_.advance(milliseconds(100));
        }
    }
    EXPECT_EQ(full_scans, (std::vector<int>{5, 10}));
}

TEST_F(ClaimerTest, TakesNoMoreThanItsCapacityAndWaitsForCapacity) {
    activate();
    room_ = 10;
    claimer_.poll();
    EXPECT_EQ(store_.ready.front().request.limit, 10);
    room_ = 0;
    answer_ready(10, 51);
    EXPECT_TRUE(store_.ready.empty());
    claimer_.on_capacity();
    EXPECT_TRUE(store_.ready.empty());
    room_ = 4;
    claimer_.on_capacity();
    EXPECT_EQ(answer_ready(0, 52).limit, 4);
}

TEST_F(ClaimerTest, WhatIsDeferredIsClaimedWhenItFallsDueNotAtTheNextTick) {
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

TEST_F(ClaimerTest, DueClaimsBeginShortlyBeforeTheLastOneThatFoundAll) {
    claimer_.set_active(true);
    wait_for_due();
    EXPECT_EQ(answer_due_at(seconds(1000), 3, seconds(999)).due_from, DueTime(0)) << "a full scan";
    wait_for_due();
    EXPECT_EQ(answer_due_at(seconds(1001), kMaxClaim, seconds(997)).due_from, seconds(1000) - kDueOverlap);
    wait_for_due();
    EXPECT_EQ(answer_due_at(seconds(1001), 1, seconds(998)).due_from, seconds(997)) << "a full one: where it ended";
    wait_for_due();
    EXPECT_EQ(answer_due_at(seconds(1002), 0, {}).due_from, seconds(1001) - kDueOverlap);
}

TEST_F(ClaimerTest, TheScheduleIsReadFromItsBeginningEveryFewSeconds) {
    claimer_.set_active(true);
    std::vector<int> full_scans;
    for (int i = 0; i <= 10; ++i) {
        wait_for_due();
        if (answer_due_at(seconds(1000 + i), 0, {}).due_from == DueTime(0)) full_scans.push_back(i);
    }
    EXPECT_EQ(full_scans, (std::vector<int>{0, 5, 10}));
}

TEST_F(ClaimerTest, AFullScanOfTheScheduleThatCannotFinishLeavesTheClaimsThatBeginLater) {
    claimer_.set_active(true);
    wait_for_due();
    answer_due_at(seconds(1000), 0, {});
    claimer_.on_session_up();
    wait_for_due();
    ASSERT_EQ(store_.due.front().request.due_from, DueTime(0));
    take_first(store_.due).answer(kTooSlow);
    wait_for_due();
    EXPECT_EQ(answer_due_at(seconds(1002), 0, {}).due_from, seconds(1000) - kDueOverlap);
}

// A reader's finding: with 56 million dead entries no retry was sent, since each due claim was too slow.
TEST_F(ClaimerTest, ADueClaimThatIsTooSlowIsFollowedByOneThatReadsNothingAndThenByOneOfTheRest) {
    claimer_.set_active(true);
    answer_orphans();
    answer_ready(0, 50);
    answer_orphans();
    ASSERT_EQ(store_.due.front().request.due_from, DueTime(0));
    take_first(store_.due).answer(kTooSlow);
    wait_for_due();
    EXPECT_EQ(answer_due_at(seconds(1000), 0, {}).due_from, kNeverDue);
    wait_for_due();
    EXPECT_EQ(answer_due_at(seconds(1001), 0, {}).due_from, seconds(1000) - kDueOverlap);
}

TEST_F(ClaimerTest, AClaimThatWaitedForALockInVainWasNotTooSlow) {
    activate();
    claimer_.on_session_up();
    answer_orphans();
    take_first(store_.ready).answer(core::Error{core::ErrorKind::kTimeout, "canceling statement due to lock timeout", "55P03"});
    answer_due();
    time_.advance(kFirstBackOff);
    EXPECT_EQ(store_.ready.front().request.behind.xid, 0u) << "the full scan is tried again at once";
}

TEST_F(ClaimerTest, ThePollOfEachSecondIsForReadyAndDueMessages) {
    activate();
    time_.advance(kPollPeriod);
    EXPECT_EQ(answer_ready(0, 60).behind.xid, 50u);
    answer_due();
    EXPECT_TRUE(claimer_.idle());
}

TEST_F(ClaimerTest, AFullScanComesEveryFewSecondsWithTheOrphans) {
    activate();
    int full_scans = 0;
    int orphans = 0;
    for (int i = 0; i < 10; ++i) {
        time_.advance(kPollPeriod);
        while (!store_.orphans.empty() || !store_.due.empty() || !store_.ready.empty()) {
            if (!store_.orphans.empty()) {
                ++orphans;
                answer_orphans();
            } else if (!store_.due.empty()) {
                answer_due();
            } else if (answer_ready(0, 60).behind.xid == 0) {
                ++full_scans;
            }
        }
    }
    EXPECT_EQ(full_scans, 2);
    EXPECT_GE(orphans, 2);
}

TEST_F(ClaimerTest, AScheduledMessageIsClaimedWhenItIsDue) {
    activate();
    time_.advance(kPollPeriod);
    answer_ready(0, 60);
    answer_due(milliseconds(300));
    time_.advance(milliseconds(299));
    EXPECT_TRUE(store_.due.empty());
    time_.advance(milliseconds(1));
    EXPECT_EQ(store_.due.size(), 1u);
}

TEST_F(ClaimerTest, HeldMessagesAreClaimedWhereTheirEndpointsHaveRoomAndInPauses) {
    activate();
    held_capacities_ = {{3, 10}};
    claimer_.poll_all();
    answer_ready(0, 60);
    ClaimBatch due;
    due.holding = true;
    take_first(store_.due).answer(due);
    ASSERT_EQ(store_.held_claims.size(), 1u) << "a due claim says that messages are held";
    EXPECT_EQ(store_.held_claims.front().request.capacities.front().endpoint, 3);
    EXPECT_EQ(store_.held_claims.front().request.other_capacity, 8);
    ClaimBatch some;
    some.taken = 10;
    for (int id = 1; id <= 10; ++id) some.deliveries.push_back(test::delivery(id, 3));
    take_first(store_.held_claims).answer(some);
    EXPECT_EQ(claimed_, 10u);
    EXPECT_TRUE(store_.held_claims.empty());
    time_.advance(kHeldPause);
    take_first(store_.held_claims).answer(ClaimBatch{});
    time_.advance(kEmptyHeldPause);
    EXPECT_TRUE(store_.held_claims.empty()) << "nothing was left";
    claimer_.expect_held();
    EXPECT_EQ(store_.held_claims.size(), 1u);
}

TEST_F(ClaimerTest, HeldMessagesNeedNoCapacityForOthersAndDelayNone) {
    activate();
    room_ = 0;
    claimer_.expect_held();
    claimer_.poll();
    ClaimBatch some;
    some.taken = 1;
    take_first(store_.held_claims).answer(some);
    room_ = 100;
    claimer_.expect_held();
    claimer_.on_capacity();
    EXPECT_EQ(answer_ready(0, 60).limit, 100) << "the ready ones are next";
}

TEST_F(ClaimerTest, AFullClaimOfHeldMessagesGoesOnBehindItsLastEndpoint) {
    activate();
    claimer_.expect_held();
    EXPECT_EQ(store_.held_claims.front().request.after, 0);
    ClaimBatch full;
    full.taken = kMaxClaim;
    full.deliveries = {test::delivery(1, 3), test::delivery(2, 7), test::delivery(3, 5)};
    take_first(store_.held_claims).answer(full);
    time_.advance(kHeldPause);
    EXPECT_EQ(store_.held_claims.front().request.after, 7);
    full.taken = 3;
    take_first(store_.held_claims).answer(full);
    time_.advance(kHeldPause);
    EXPECT_EQ(store_.held_claims.front().request.after, 0) << "all had their turn";
}

// New messages waited for all of 200,000 that are for an endpoint that hangs.
TEST_F(ClaimerTest, NewMessagesDoNotWaitForManyThatAreHeld) {
    activate();
    const auto answer = [&](std::size_t taken, Xid xmax, bool holding) {
        auto call = take_first(store_.ready);
        ClaimBatch batch;
        batch.taken = taken;
        batch.holding = holding;
        batch.snapshot.xmax = xmax;
        batch.last = {60, 777};
        call.answer(batch);
        while (!store_.held_claims.empty()) take_first(store_.held_claims).answer(ClaimBatch{});
        return call.request;
    };
    claimer_.poll();
    EXPECT_EQ(answer(kMaxClaim, 70, true).behind.xid, 50u);
    EXPECT_EQ(answer(0, 71, false).until, 0u) << "a snapshot";
    bool new_ones = false;
    bool old_ones = false;
    for (int i = 0; i < 2; ++i) {
        const bool is_new = store_.ready.front().request.behind.xid >= 70;
        (is_new ? new_ones : old_ones) = true;
        answer(is_new ? 0 : kMaxClaim, 72, !is_new);
    }
    EXPECT_TRUE(new_ones && old_ones) << "in turns";
}

TEST_F(ClaimerTest, AFailureIsToldAndTriedAgain) {
    activate();
    claimer_.poll();
    take_first(store_.ready).answer(test::unavailable());
    EXPECT_EQ(observer_.errors["claim"], 1);
    EXPECT_TRUE(store_.ready.empty()) << "not in a tight loop";
    time_.advance(kFirstBackOff);
    EXPECT_EQ(store_.ready.size(), 1u);
}

TEST_F(ClaimerTest, ANewSessionForgetsTheFloorAndAsksForOrphans) {
    activate();
    claimer_.on_session_up();
    answer_orphans({.unknown = 2, .not_in_memory = 0});
    EXPECT_EQ(answer_ready(0, 80).behind.xid, 0u);
}

TEST_F(ClaimerTest, TellsWhenAClaimSawTheServiceStopped) {
    activate();
    claimer_.poll();
    answer_ready(0, 99, false);
    EXPECT_EQ(stopped_, 1);
    EXPECT_EQ(claimer_.lowest_floor(), 50u) << "a claim that did not read the queue says nothing about the floor";
}

TEST_F(ClaimerTest, TellsWhenNothingIsLeftAndWhenMoreIsReadyThanItsCapacity) {
    activate();
    EXPECT_EQ(idles_, 1);
    claimer_.poll();
    answer_ready(2, 60);
    EXPECT_EQ(idles_, 2);
    room_ = 10;
    claimer_.poll();
    room_ = 0;
    answer_ready(10, 61);
    EXPECT_EQ(overloads_, 1);
    EXPECT_EQ(idles_, 2);
}

TEST_F(ClaimerTest, KnowsWhatOnlyThePollFound) {
    activate();
    time_.advance(kPollPeriod);
    answer_ready(1, 60);
    answer_due();
    EXPECT_EQ(found_by_poll_, 1);
    claimer_.poll();
    answer_ready(1, 61);
    EXPECT_EQ(found_by_poll_, 1);
}

TEST_F(ClaimerTest, InactiveItClaimsNothing) {
    activate();
    claimer_.set_active(false);
    claimer_.poll();
    claimer_.on_session_up();
    time_.advance(seconds(60));
    EXPECT_TRUE(store_.ready.empty() && store_.due.empty() && store_.orphans.empty());
}

}  // namespace
}  // namespace messaging::engine
