// The life of an engine: registration, activity, reclaim, the loss of its listen session, the end.
#include "engine/engine.h"

#include <gtest/gtest.h>

#include <array>
#include <set>
#include <utility>

#include "engine/claim_store.h"
#include "engine/instance_store.h"
#include "engine/record_store.h"
#include "support/fake_ports.h"
#include "support/fake_time.h"
#include "support/fixed_random.h"

namespace messaging::engine {
namespace {

using core::OutcomeKind;
using std::chrono::milliseconds;
using std::chrono::seconds;
using test::delivery;
using test::take_first;

class EngineTest : public testing::Test {
protected:
    void register_as(core::InstanceId id) {
        engine_.on_listen_session_up();
        take_first(instances_.registrations).answer(id);
    }
    void answer_control(bool running = true) {
        take_first(instances_.states).answer(running);
        take_first(queue_.endpoints).answer(std::vector<core::Endpoint>{test::endpoint(1, 10)});
    }
    void start() {
        register_as(5);
        answer_control();
        settle();
    }
    // Answers what the claimer asks until it is idle, with nothing.
    void settle() {
        while (!queue_.orphans.empty() || !queue_.due.empty() || !queue_.ready.empty()) {
            if (!queue_.orphans.empty()) take_first(queue_.orphans).answer(OrphanCount{});
            if (!queue_.due.empty()) take_first(queue_.due).answer(ClaimBatch{});
            if (!queue_.ready.empty()) take_first(queue_.ready).answer(ClaimBatch{});
        }
    }
    void claim(std::vector<core::Delivery> deliveries) {
        engine_.on_ready();
        ClaimBatch batch;
        batch.taken = deliveries.size();
        batch.deliveries = std::move(deliveries);
        take_first(queue_.ready).answer(batch);
    }
    RecordRequest commit() {
        if (queue_.records.empty()) time_.advance(kSmallBatchPause);
        auto call = take_first(queue_.records);
        call.answer(RecordResult{});
        return call.request;
    }

    // Commits one message as newly sent, in batch 77.
    void commit_sent(core::MessageId id) {
        RecordResult result;
        result.sent_batch = 77;
        result.sent_at = "t";
        result.sent = {id};
        take_first(queue_.records).answer(result);
    }
    // One message is sent, and its record commits during the shutdown.
    void send_and_shut_down() {
        claim({delivery(1)});
        engine_.start_shutdown(seconds(10), [](bool) {});
        sender_.answer(200);
        commit_sent(1);
        time_.advance(milliseconds(20));
        settle();
    }

    test::FakeTime time_;
    test::FixedRandom random_{0.5};
    test::FakeEngineStores queue_;
    test::FakeInstanceStore instances_;
    test::FakeDoorbellStore doorbell_;
    test::FakeBacklogStore backlog_;
    test::FakeReceiptLog receipts_;
    test::FakeSender sender_;
    test::FakeObserver observer_;
    Engine engine_{{queue_, queue_, queue_, queue_, queue_, queue_, instances_, doorbell_, backlog_, receipts_, sender_},
                   time_,
                   time_,
                   random_,
                   observer_,
                   {.name = "test", .session_tag = "", .max_claim = kMaxClaim, .dispatch = {}}};
};

TEST_F(EngineTest, ClaimsOnceItIsRegisteredAndKnowsStateAndEndpoints) {
    register_as(5);
    EXPECT_TRUE(queue_.orphans.empty());
    answer_control();
    EXPECT_EQ(queue_.orphans.size(), 1u);
    settle();
    claim({delivery(1)});
    EXPECT_EQ(sender_.attempts.size(), 1u);
    sender_.answer(200);
    EXPECT_EQ(commit().instance_id, 5);
}

// A reader's finding: after a TRUNCATE of _instance two engines reclaimed each other's claims again and again.
TEST_F(EngineTest, RegistersAnewWhenItsRowIsGoneAndKeepsItsClaims) {
    start();
    claim({delivery(1, 1, 100)});
    time_.advance(kHeartbeatPeriod);
    settle();
    take_first(instances_.heartbeats).answer(false);
    EXPECT_EQ(observer_.errors["heartbeat"], 1);
    ASSERT_EQ(instances_.registrations.size(), 1u);
    take_first(instances_.registrations).answer(6);
    auto move = take_first(instances_.moves);
    EXPECT_EQ(move.request.to, 6);
    EXPECT_EQ(move.request.claims, std::vector<core::ClaimId>{100});
    move.answer(std::vector<core::ClaimId>{100});
    sender_.answer(200);
    const RecordRequest recorded = commit();
    EXPECT_EQ(recorded.instance_id, 6);
    EXPECT_EQ(recorded.outcomes.front().id, 1);
}

TEST_F(EngineTest, OnlyAHeartbeatEndsTheFailureOfHeartbeats) {
    register_as(5);
    answer_control();
    settle();
    time_.advance(kHeartbeatPeriod);
    take_first(instances_.heartbeats).answer(core::Error{core::ErrorKind::kTimeout, "too late"});
    settle();
    claim({delivery(1)});
    sender_.answer(200);
    commit_sent(1);
    EXPECT_EQ(observer_.errors[kHeartbeatOperation], 1);
    EXPECT_EQ(observer_.successes[kHeartbeatOperation], 0);
    time_.advance(kHeartbeatPeriod);
    take_first(instances_.heartbeats).answer(true);
    EXPECT_EQ(observer_.successes[kHeartbeatOperation], 1);
}

TEST_F(EngineTest, AClaimSessionThatComesLaterThanTheListenSessionBringsTheEndpointsAtOnce) {
    register_as(5);
    take_first(instances_.states).answer(true);
    take_first(queue_.endpoints).answer(core::Error{core::ErrorKind::kUnavailable, "not connected", ""});
    engine_.on_claim_session_up();
    ASSERT_EQ(queue_.endpoints.size(), 1u) << "not at the next heartbeat";
    take_first(queue_.endpoints).answer(std::vector<core::Endpoint>{test::endpoint(1, 10)});
    EXPECT_EQ(queue_.orphans.size(), 1u) << "it claims";
}

TEST_F(EngineTest, StoppedItClaimsNothing) {
    register_as(5);
    answer_control(false);
    engine_.on_ready();
    time_.advance(seconds(1));
    EXPECT_TRUE(queue_.ready.empty() && queue_.due.empty());
}

TEST_F(EngineTest, AStopReleasesWhatWasNotStartedAndLetsTheRestFinish) {
    start();
    std::vector<core::Delivery> many;
    for (int id = 1; id <= 12; ++id) many.push_back(delivery(id));
    claim(many);
    EXPECT_EQ(sender_.attempts.size(), kFirstLimit);
    engine_.on_control_changed();
    answer_control(false);
    EXPECT_EQ(commit().outcomes.front().kind, OutcomeKind::kReleased);
    EXPECT_EQ(sender_.attempts.size(), kFirstLimit);
    sender_.answer(200);
    EXPECT_EQ(sender_.attempts.size(), kFirstLimit - 1) << "nothing new";
}

TEST_F(EngineTest, WithoutItsListenSessionItStartsNothingAndAfterwardsMovesItsClaims) {
    start();
    std::vector<core::Delivery> many;
    for (int id = 1; id <= 11; ++id) many.push_back(delivery(id, 1, id <= 10 ? 100 : 200));
    claim(many);
    engine_.on_listen_session_down();
    sender_.answer(200);
    EXPECT_EQ(sender_.attempts.size(), kFirstLimit - 1) << "another engine may consider this one failed";
    register_as(6);
    auto move = take_first(instances_.moves);
    EXPECT_EQ(move.request.to, 6);
    move.answer(std::vector<core::ClaimId>{100});  // 200 was reclaimed
    answer_control();
    settle();
    EXPECT_EQ(sender_.attempts.size(), 9u) << "the waiting one of claim 200 is another's now";
    time_.advance(kHeartbeatPeriod);
    ASSERT_FALSE(instances_.heartbeats.empty());
    EXPECT_EQ(instances_.heartbeats.front().request, 6);
}

TEST_F(EngineTest, AFailedRegistrationIsTriedAgain) {
    engine_.on_listen_session_up();
    take_first(instances_.registrations).answer(test::unavailable());
    EXPECT_TRUE(instances_.registrations.empty());
    time_.advance(milliseconds(500));
    EXPECT_EQ(instances_.registrations.size(), 1u);
}

TEST_F(EngineTest, WhatWasReclaimedFromAFailedInstanceIsClaimedAtOnce) {
    start();
    time_.advance(milliseconds(0));
    take_first(instances_.samples).answer(std::vector<LivenessSample>{});
    take_first(instances_.reclaims).answer(Reclaimed{1, 2});
    EXPECT_EQ(observer_.reclaimed, 2u);
    time_.advance(milliseconds(0));
    EXPECT_EQ(queue_.due.size(), 1u);
}

// Regression: a failure recorded between the move's commit and its answer was dropped, because it went out in the old instance's
// name; then its claim was ended. Now no name is needed, and what is dropped is known to be.
TEST_F(EngineTest, AFailureRecordedWhileItsClaimsAreMovedDoesNotCountAsRecordedWhenItsClaimIsGone) {
    start();
    claim({delivery(1, 1, 100), delivery(2, 1, 100)});
    engine_.on_listen_session_down();
    register_as(6);
    auto move = take_first(instances_.moves);  // committed, and not answered yet
    EXPECT_EQ(move.request.claims, std::vector<core::ClaimId>{100});
    sender_.answer(503);
    ASSERT_EQ(queue_.records.size(), 1u);
    RecordResult gone;
    gone.missing = {100};
    take_first(queue_.records).answer(gone);
    EXPECT_EQ(observer_.late_outcomes, 1u);
    time_.advance(kConfirmDelay);
    ASSERT_EQ(queue_.records.size(), 1u);
    EXPECT_EQ(queue_.records.front().request.suspects, std::vector<core::MessageId>{1}) << "reconcile looks for it";
}

// Regression: an old claim's answer switched the engine off until the next heartbeat.
TEST_F(EngineTest, AClaimThatSawTheServiceStoppedHasTheStateReadAgain) {
    start();
    engine_.on_ready();
    ClaimBatch stopped;
    stopped.running = false;
    take_first(queue_.ready).answer(stopped);
    ASSERT_EQ(instances_.states.size(), 1u);
    answer_control(true);
    EXPECT_FALSE(queue_.orphans.empty()) << "it claims again";
}

TEST_F(EngineTest, SaysWhichMessagesItHasInMemory) {
    start();
    std::vector<core::Delivery> many;
    for (int id = 1; id <= 12; ++id) many.push_back(delivery(id, 1, 100));
    claim(many);  // 10 in flight, 2 waiting
    sender_.answer(200);
    time_.advance(kFullScanPeriod);
    if (!queue_.due.empty()) take_first(queue_.due).answer(ClaimBatch{});
    take_first(queue_.ready).answer(ClaimBatch{});  // a full scan
    ASSERT_FALSE(queue_.orphans.empty());
    std::vector<core::MessageId> in_memory = queue_.orphans.front().request.in_memory;
    std::sort(in_memory.begin(), in_memory.end());
    EXPECT_EQ(in_memory, (std::vector<core::MessageId>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}))
        << "1 is sent, but not recorded yet";
}

TEST_F(EngineTest, AClaimUnderWayWhenTheListenSessionIsLostIsWaitedForBeforeItRegistersAnew) {
    start();
    engine_.on_ready();
    engine_.on_listen_session_down();
    engine_.on_listen_session_up();
    EXPECT_TRUE(instances_.registrations.empty()) << "it is made in the old instance's name, and would be left behind there";
    settle();
    time_.advance(milliseconds(100));
    EXPECT_EQ(instances_.registrations.size(), 1u);
}

TEST_F(EngineTest, AFailedMoveOfItsClaimsIsTriedAgainAsTheSameInstance) {
    start();
    claim({delivery(1, 1, 100)});
    engine_.on_listen_session_down();
    register_as(6);
    take_first(instances_.moves).answer(test::unavailable());
    time_.advance(milliseconds(500));
    EXPECT_TRUE(instances_.registrations.empty())
        << "this session would hold the locks of both, and nobody would clear the first away";
    ASSERT_EQ(instances_.moves.size(), 1u);
    EXPECT_EQ(instances_.moves.front().request.to, 6);
}

TEST_F(EngineTest, AMessageOfANewEndpointWaitsForTheEndpointToBeReadAndNoLonger) {
    start();
    claim({delivery(1, 1), delivery(2, 9)});
    EXPECT_EQ(sender_.attempts.size(), 1u);
    take_first(queue_.endpoints).answer(std::vector<core::Endpoint>{test::endpoint(1, 10), test::endpoint(9, 10)});
    ASSERT_EQ(sender_.attempts.size(), 2u);
    EXPECT_EQ(sender_.attempts.back().delivery.id, 2);
}

// An engine that polls was quicker than the notification: 17 of 300 messages went to the URL that the endpoint had had before.
TEST_F(EngineTest, AMessageThatWasClaimedBehindAChangeOfItsEndpointWaitsForAReading) {
    start();
    core::Delivery behind = delivery(2);
    behind.endpoint_version = 3;
    claim({delivery(1), behind});
    EXPECT_EQ(sender_.attempts.size(), 1u);
    core::Endpoint changed = test::endpoint(1, 10);
    changed.version = 3;
    changed.url = "http://new/";
    take_first(queue_.endpoints).answer(std::vector<core::Endpoint>{changed});
    ASSERT_EQ(sender_.attempts.size(), 2u);
    EXPECT_EQ(sender_.attempts.back().delivery.id, 2);
}

// Claims go on while a reading waits for a lock, and an engine grew to 1.2 GB within eight seconds.
TEST_F(EngineTest, MoreMessagesOfAnUnreadEndpointThanTheReaderKeepsAreMovedToTheHold) {
    start();
    std::vector<core::Delivery> many;
    for (std::size_t i = 0; i < kMaxAwaiting + 1; ++i) many.push_back(delivery(static_cast<core::MessageId>(i + 1), 9));
    claim(std::move(many));
    const RecordRequest request = commit();
    ASSERT_EQ(request.outcomes.size(), 1u);
    EXPECT_EQ(request.outcomes[0].kind, OutcomeKind::kHeld);
    settle();
    ASSERT_FALSE(queue_.held_claims.empty());
    ASSERT_FALSE(queue_.held_claims.front().request.capacities.empty()) << "and no more of it is claimed";
    EXPECT_EQ(queue_.held_claims.front().request.capacities.front().endpoint, 9);
    EXPECT_EQ(queue_.held_claims.front().request.capacities.front().capacity, 0);
}

TEST_F(EngineTest, HoweverManyNotificationsComeTwoReadingsOfTheEndpointsAreUnderWay) {
    start();
    for (int i = 0; i < 100; ++i) {
        engine_.on_control_changed();
        while (!instances_.states.empty()) take_first(instances_.states).answer(true);
        time_.advance(milliseconds(1));
    }
    EXPECT_EQ(queue_.endpoints.size(), kMaxReadings) << "claims wait behind them on the same session";
}

TEST_F(EngineTest, AShutdownFinishesWhatIsInFlightAndUnregisters) {
    start();
    claim({delivery(1)});
    std::optional<bool> clean;
    engine_.start_shutdown(seconds(10), [&](bool value) { clean = value; });
    time_.advance(seconds(1));
    EXPECT_TRUE(instances_.goodbyes.empty());
    sender_.answer(200);
    commit();
    time_.advance(seconds(1));
    settle();
    time_.advance(seconds(1));
    ASSERT_EQ(instances_.goodbyes.size(), 1u);
    take_first(instances_.goodbyes).answer(core::Unit{});
    EXPECT_EQ(clean, true);
}

TEST_F(EngineTest, AShutdownWaitsUntilItsReceiptsAreConfirmedAndRecorded) {
    start();
    send_and_shut_down();
    time_.advance(seconds(1));
    ASSERT_EQ(receipts_.writes.size(), 1u);
    EXPECT_TRUE(instances_.goodbyes.empty()) << "another engine would write the receipts a second time";
    take_first(receipts_.writes).answer(core::Unit{});
    time_.advance(milliseconds(100));
    ASSERT_EQ(queue_.records.size(), 1u) << "at once, not in a second";
    EXPECT_TRUE(instances_.goodbyes.empty());
    EXPECT_EQ(commit().confirmed_batches, std::vector<std::int64_t>{77});
    time_.advance(milliseconds(100));
    EXPECT_EQ(instances_.goodbyes.size(), 1u);
}

TEST_F(EngineTest, AShutdownDoesNotWaitForARedisThatRefuses) {
    start();
    send_and_shut_down();
    take_first(receipts_.writes).answer(test::unavailable());
    time_.advance(milliseconds(100));
    EXPECT_EQ(instances_.goodbyes.size(), 1u) << "the backlog keeps them";
}

TEST_F(EngineTest, AShutdownDoesNotWaitForARedisThatIsAway) {
    start();
    receipts_.is_up = false;
    send_and_shut_down();
    time_.advance(milliseconds(100));
    EXPECT_EQ(instances_.goodbyes.size(), 1u);
}

TEST_F(EngineTest, AShutdownWaitsForReceiptsNoLongerThanItsDeadline) {
    start();
    send_and_shut_down();
    time_.advance(seconds(9));
    EXPECT_TRUE(instances_.goodbyes.empty());
    time_.advance(seconds(2));
    EXPECT_EQ(instances_.goodbyes.size(), 1u);
}

TEST_F(EngineTest, ReceiptsOnTheirWayMoveWithAnEngineThatRegistersAnew) {
    start();
    claim({delivery(1)});
    sender_.answer(200);
    commit_sent(1);
    ASSERT_EQ(receipts_.writes.size(), 1u);
    engine_.on_listen_session_down();
    register_as(6);
    take_first(instances_.moves).answer(std::vector<core::ClaimId>{});
    ASSERT_EQ(backlog_.moves.size(), 1u) << "as the old instance's they would be anybody's";
    EXPECT_EQ(backlog_.moves.front().request.from, 5);
    EXPECT_EQ(backlog_.moves.front().request.to, 6);
    EXPECT_EQ(backlog_.moves.front().request.batches, std::vector<std::int64_t>{77});
}

TEST_F(EngineTest, AtTheDeadlineOfAShutdownTheRestIsReleased) {
    start();
    claim({delivery(1)});
    std::optional<bool> clean;
    engine_.start_shutdown(seconds(10), [&](bool value) { clean = value; });
    time_.advance(seconds(10));
    EXPECT_EQ(commit().outcomes.front().kind, OutcomeKind::kReleased);
    time_.advance(seconds(1));
    take_first(instances_.goodbyes).answer(core::Unit{});
    EXPECT_EQ(clean, true);
}

TEST_F(EngineTest, WithoutPostgresAShutdownEndsAtTwiceItsDeadline) {
    start();
    claim({delivery(1)});
    std::optional<bool> clean;
    engine_.start_shutdown(seconds(10), [&](bool value) { clean = value; });
    sender_.answer(200);  // and the record is never answered
    time_.advance(seconds(19));
    EXPECT_FALSE(clean);
    time_.advance(seconds(1));
    EXPECT_EQ(clean, false);
}

TEST_F(EngineTest, TooMuchUnrecordedStopsTheClaiming) {
    start();
    core::MessageId id = 0;
    for (std::size_t sent = 0; sent < kMaxUnrecorded + 2; sent += 500) {
        std::vector<core::Delivery> many;
        for (int i = 0; i < 500; ++i) many.push_back(delivery(++id));
        engine_.on_ready();
        if (queue_.ready.empty()) break;
        ClaimBatch batch;
        batch.taken = many.size();
        batch.deliveries = std::move(many);
        take_first(queue_.ready).answer(batch);
        settle();
        while (!sender_.attempts.empty()) sender_.answer(200);
    }
    engine_.on_ready();
    EXPECT_TRUE(queue_.ready.empty()) << "what is sent and not recorded would be sent again after a crash";
}

TEST_F(EngineTest, TellsPostgreSqlOneAfterTheOtherWhatItFindsOfItsEndpoints) {
    register_as(5);
    take_first(instances_.states).answer(true);
    take_first(queue_.endpoints)
        .answer(std::vector<core::Endpoint>{test::endpoint(1, 1), test::endpoint(2, 1), test::endpoint(3, 1)});
    settle();
    claim({delivery(1, 1), delivery(2, 2), delivery(3, 3)});
    sender_.answer(410);
    ASSERT_EQ(queue_.findings.size(), 1u);
    ASSERT_EQ(queue_.findings[0].request.size(), 1u);
    EXPECT_EQ(queue_.findings[0].request[0].endpoint, 1);
    sender_.answer(410);
    sender_.answer(410);
    EXPECT_EQ(queue_.findings.size(), 1u) << "one writing at a time";
    take_first(queue_.findings).answer(test::unavailable());
    EXPECT_EQ(observer_.errors[kEndpointStateOperation], 1);
    ASSERT_EQ(queue_.findings.size(), 1u);
    EXPECT_EQ(queue_.findings[0].request.size(), 2u);
}

TEST(EnginePhases, OnlyTheseMovesAreLegal) {
    using Phase = Engine::Phase;
    const std::array all{Phase::kOffline, Phase::kRegistering, Phase::kMovingClaims, Phase::kActive};
    const std::set<std::pair<Phase, Phase>> legal{{Phase::kOffline, Phase::kRegistering},
                                                  {Phase::kRegistering, Phase::kMovingClaims},
                                                  {Phase::kRegistering, Phase::kActive},
                                                  {Phase::kMovingClaims, Phase::kActive}};
    for (const Phase from : all) {
        EXPECT_TRUE(Engine::may_follow(from, Phase::kOffline)) << "a session can be lost at any moment";
        for (const Phase to : all) {
            if (to == Phase::kOffline) continue;
            EXPECT_EQ(Engine::may_follow(from, to), legal.contains({from, to}));
        }
    }
}

}  // namespace
}  // namespace messaging::engine
