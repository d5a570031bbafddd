// Falling asleep without losing a notification.
#include "engine/doorbell.h"

#include <gtest/gtest.h>

#include <array>
#include <random>
#include <set>
#include <utility>

#include "engine/doorbell_store.h"
#include "support/fake_ports.h"
#include "support/fake_time.h"
#include "support/fixed_random.h"

namespace messaging::engine {
namespace {

using std::chrono::milliseconds;
using test::take_first;

class DoorbellTest : public testing::Test {
protected:
    void answer(SleepAnswer answer) { take_first(store_.sleeps).answer(answer); }
    // Nothing is left; the question comes after a while.
    void idle() {
        doorbell_.on_idle();
        EXPECT_TRUE(store_.sleeps.empty());
        time_.advance(kIdleDelayMin);
    }
    void sleep() {
        idle();
        answer(SleepAnswer::kGranted);
        doorbell_.on_idle();
        ASSERT_TRUE(asleep());
    }
    // An engine that is awake and has nothing to do requests the lock after the idle delay.
    bool asleep() {
        doorbell_.on_idle();
        time_.advance(kIdleDelayMax);
        return store_.sleeps.empty();
    }

    test::FakeTime time_;
    test::FakeDoorbellStore store_;
    test::FakeObserver observer_;
    test::FixedRandom random_{0.5};  // no jitter
    int polls_ = 0;
    int polls_of_all_ = 0;
    Doorbell doorbell_{store_,  time_,     time_,
                       random_, observer_, {.poll = [this] { ++polls_; }, .poll_all = [this] { ++polls_of_all_; }}};
};

TEST_F(DoorbellTest, PollsEverySecondFromTheTimeItJoinsUntilItLeaves) {
    time_.advance(10 * kPollPeriod);
    EXPECT_EQ(polls_of_all_, 0);
    doorbell_.join();
    time_.advance(kPollPeriod / 2);
    doorbell_.join();
    time_.advance(kPollPeriod / 2);
    EXPECT_EQ(polls_of_all_, 1) << "joining again changes nothing";
    time_.advance(3 * kPollPeriod);
    EXPECT_EQ(polls_of_all_, 4);
    doorbell_.leave();
    time_.advance(10 * kPollPeriod);
    EXPECT_EQ(polls_of_all_, 4);
}

TEST_F(DoorbellTest, PollsOnceMoreBetweenTheLockAndTheSleep) {
    idle();
    EXPECT_EQ(polls_, 0);
    answer(SleepAnswer::kGranted);
    EXPECT_EQ(polls_, 1) << "who skipped the NOTIFY is visible now";
    doorbell_.on_idle();
    EXPECT_TRUE(asleep());
    EXPECT_EQ(store_.wakes, 0);
}

TEST_F(DoorbellTest, WhatTheLastPollFindsKeepsItAwake) {
    idle();
    answer(SleepAnswer::kGranted);
    doorbell_.on_found(3, false);
    EXPECT_EQ(store_.wakes, 1);
    idle();
    EXPECT_EQ(store_.sleeps.size(), 1u) << "asks anew";
}

TEST_F(DoorbellTest, ANotificationReleasesTheLockOnce) {
    sleep();
    doorbell_.on_notification();
    doorbell_.on_notification();
    EXPECT_EQ(store_.wakes, 1);
    EXPECT_FALSE(asleep());
}

TEST_F(DoorbellTest, ANotificationWhileItAsksIsNotSleptOn) {
    idle();
    doorbell_.on_notification();
    answer(SleepAnswer::kGranted);
    EXPECT_EQ(store_.wakes, 1);
    EXPECT_EQ(polls_, 1);
    doorbell_.on_idle();
    EXPECT_FALSE(asleep());
}

TEST_F(DoorbellTest, OpenInsertersAreWaitedForAwakeAtGrowingIntervals) {
    std::vector<milliseconds> waits;
    for (int i = 0; i < 5; ++i) {
        doorbell_.on_idle();
        milliseconds waited{0};
        for (; store_.sleeps.empty(); ++waited) time_.advance(milliseconds(1));
        waits.push_back(waited);
        answer(SleepAnswer::kInsertersOpen);
        EXPECT_EQ(polls_, i + 1);
    }
    EXPECT_EQ(waits,
              (std::vector<milliseconds>{milliseconds(1), milliseconds(2), milliseconds(4), milliseconds(5), milliseconds(5)}));
    doorbell_.on_idle();
    time_.advance(kIdleDelayMax);
    answer(SleepAnswer::kGranted);
    EXPECT_EQ(store_.wakes, 0);
}

TEST_F(DoorbellTest, WhileEveryPollFindsSomethingTheLockIsNotRequested) {
    doorbell_.on_found(1, false);
    idle();
    answer(SleepAnswer::kInsertersOpen);
    EXPECT_EQ(polls_, 1);
    for (int poll = 2; poll < 10; ++poll) {
        doorbell_.on_found(1, false);
        doorbell_.on_idle();
        time_.advance(kIdleDelayMin);
        EXPECT_EQ(polls_, poll);
        EXPECT_TRUE(store_.sleeps.empty());
    }
    idle();
    EXPECT_EQ(store_.sleeps.size(), 1u) << "the last poll found nothing";
}

TEST_F(DoorbellTest, SleepsWithoutTheLockWhereAnotherEngineHasIt) {
    idle();
    answer(SleepAnswer::kHeldByPeer);
    EXPECT_TRUE(asleep());
    doorbell_.on_notification();
    EXPECT_EQ(store_.wakes, 0) << "it is not ours to give up";
    idle();
    EXPECT_EQ(store_.sleeps.size(), 1u) << "the other may have gone";
}

TEST_F(DoorbellTest, CountsWhatOnlyThePollFindsUnlessANotificationComesAfterAll) {
    sleep();
    doorbell_.on_found(2, true);
    doorbell_.on_notification();
    time_.advance(kNotificationGrace);
    EXPECT_EQ(observer_.missed_notifications, 0u);
    sleep();
    doorbell_.on_found(3, true);
    time_.advance(kNotificationGrace);
    EXPECT_EQ(observer_.missed_notifications, 3u);
    EXPECT_EQ(store_.wakes, 2);
}

TEST_F(DoorbellTest, ALostSessionEndsTheLockAndItsAnswers) {
    sleep();
    doorbell_.on_session_lost();
    EXPECT_EQ(store_.wakes, 0);
    idle();
    doorbell_.on_session_lost();
    answer(SleepAnswer::kGranted);
    EXPECT_EQ(polls_, 1) << "of the sleep before; the stale answer is ignored";
    idle();
    EXPECT_EQ(store_.sleeps.size(), 1u);
}

TEST_F(DoorbellTest, LeavingReleasesTheLockAlsoWhenItIsStillOnItsWay) {
    sleep();
    doorbell_.leave();
    EXPECT_EQ(store_.wakes, 1);
    idle();
    doorbell_.leave();
    answer(SleepAnswer::kGranted);
    EXPECT_EQ(store_.wakes, 2);
}

TEST_F(DoorbellTest, WakesPeersNoMoreThanTenTimesASecond) {
    for (int i = 0; i < 1000; ++i) {
        doorbell_.on_overload();
        time_.advance(milliseconds(1));
    }
    EXPECT_EQ(store_.wakes_of_peers, 10);
}

TEST_F(DoorbellTest, AFailedLockRequestIsReportedAndRepeatedAtTheNextPoll) {
    idle();
    take_first(store_.sleeps).answer(test::unavailable());
    EXPECT_EQ(observer_.errors["doorbell"], 1);
    EXPECT_TRUE(store_.sleeps.empty());
    idle();
    EXPECT_EQ(store_.sleeps.size(), 1u);
}

TEST(DoorbellStates, OnlyTheseMovesAreLegal) {
    using State = Doorbell::State;
    const std::array all{State::kAwake,    State::kAsking, State::kInterrupted,
                         State::kLastPoll, State::kAsleep, State::kAsleepBeside};
    const std::set<std::pair<State, State>> legal{
        {State::kAwake, State::kAsking},         {State::kAsking, State::kAwake},
        {State::kAsking, State::kInterrupted},   {State::kAsking, State::kLastPoll},
        {State::kAsking, State::kAsleepBeside},  {State::kInterrupted, State::kAwake},
        {State::kInterrupted, State::kLastPoll}, {State::kInterrupted, State::kAsleepBeside},
        {State::kLastPoll, State::kAwake},       {State::kLastPoll, State::kAsleep},
        {State::kAsleep, State::kAwake},         {State::kAsleepBeside, State::kAwake}};
    for (const State from : all) {
        for (const State to : all) EXPECT_EQ(Doorbell::may_follow(from, to), legal.contains({from, to}));
    }
}

// An illegal move ends the process, so this ends well only if no order of events makes one.
TEST_F(DoorbellTest, NoOrderOfEventsMakesAnIllegalMove) {
    std::mt19937 random(7);
    for (int step = 0; step < 100000; ++step) {
        switch (random() % 9) {
            case 0: doorbell_.on_idle(); break;
            case 1: doorbell_.on_found(1, random() % 2 == 0); break;
            case 2: doorbell_.on_notification(); break;
            case 3: doorbell_.on_overload(); break;
            case 4:
                if (random() % 4 == 0) doorbell_.leave();
                break;
            case 5:
                if (random() % 8 > 0) break;
                doorbell_.on_session_lost();
                break;
            case 6: time_.advance(milliseconds(random() % 4)); break;
            default:
                if (store_.sleeps.empty()) break;
                auto call = take_first(store_.sleeps);
                const unsigned chosen = random() % 4;
                if (chosen == 3) {
                    call.answer(test::unavailable());
                } else {
                    call.answer(static_cast<SleepAnswer>(chosen));
                }
        }
    }
    EXPECT_GT(store_.wakes, 100);
    EXPECT_GT(polls_, 1000);
}

}  // namespace
}  // namespace messaging::engine
