// From claimed deliveries to outcomes.
#include "engine/dispatcher.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "support/fake_ports.h"
#include "support/fake_time.h"
#include "support/fixed_random.h"

namespace messaging::engine {
namespace {

using core::OutcomeKind;
using test::delivery;
using test::endpoint;
using test::take_first;

class DispatcherTest : public testing::Test {
protected:
    DispatcherTest() { dispatcher_.set_endpoints({endpoint(1, 2)}); }
    static DispatcherOptions options() {
        DispatcherOptions options;
        options.max_in_flight = 100;
        options.prefetch_limit = 32;
        options.breaker = {.failures = 3, .at_least = std::chrono::seconds(1)};
        return options;
    }
    // Fails until its breaker opens.
    void fail(core::EndpointId to) {
        for (int i = 0; i < 3; ++i) {
            dispatcher_.add(some(1, to));
            sender_.answer(500);
            time_.advance(std::chrono::milliseconds(500));
        }
    }
    std::vector<core::Delivery> some(int count, core::EndpointId to = 1) {
        std::vector<core::Delivery> deliveries;
        for (int i = 0; i < count; ++i) deliveries.push_back(delivery(++last_id_, to));
        return deliveries;
    }

    test::FakeTime time_;
    test::FixedRandom random_;
    test::FakeSender sender_;
    test::FakeEngineStores stores_;
    test::FakeObserver observer_;
    std::vector<core::Outcome> outcomes_;
    core::MessageId last_id_ = 0;
    int room_calls_ = 0;
    int held_room_calls_ = 0;
    std::vector<EndpointFinding> findings_;
    Dispatcher dispatcher_{sender_,
                           stores_,
                           time_,
                           time_,
                           random_,
                           observer_,
                           options(),
                           {.on_outcome = [this](core::Outcome outcome) { outcomes_.push_back(std::move(outcome)); },
                            .on_capacity = [this] { ++room_calls_; },
                            .on_held_capacity = [this] { ++held_room_calls_; },
                            .on_finding = [this](const EndpointFinding& finding) { findings_.push_back(finding); }}};
};

TEST_F(DispatcherTest, GivesTheSenderOnlyWhatMayStartNow) {
    dispatcher_.add(some(5));
    EXPECT_EQ(sender_.attempts.size(), 2u);
    sender_.answer(200);
    EXPECT_EQ(sender_.attempts.size(), 2u);
    ASSERT_EQ(outcomes_.size(), 1u);
    EXPECT_EQ(outcomes_[0].kind, OutcomeKind::kDelivered);
    EXPECT_EQ(outcomes_[0].id, 1);
    EXPECT_EQ(room_calls_, 1);
}

// A name server or a network that was down for DISABLE_AFTER had every endpoint disabled.
TEST_F(DispatcherTest, KnowsWhetherAnyReceiverAnswers) {
    EXPECT_FALSE(dispatcher_.receivers_answer());
    dispatcher_.add(some(4));
    for (const core::AttemptFault fault :
         {core::AttemptFault::kConnect, core::AttemptFault::kForbidden, core::AttemptFault::kLocal}) {
        core::AttemptResult result;
        result.fault = fault;
        sender_.answer(result);
    }
    EXPECT_FALSE(dispatcher_.receivers_answer());
    const auto answer_after = [&](std::chrono::minutes time) {
        time_.advance(time);
        dispatcher_.add(some(1));
        sender_.answer(400);
    };
    sender_.answer(500);
    EXPECT_FALSE(dispatcher_.receivers_answer()) << "an outage may have ended just now";
    answer_after(std::chrono::minutes(30));
    EXPECT_FALSE(dispatcher_.receivers_answer());
    answer_after(std::chrono::minutes(30));
    EXPECT_TRUE(dispatcher_.receivers_answer()) << "a refusal shows that the network works";
    time_.advance(std::chrono::minutes(59));
    EXPECT_TRUE(dispatcher_.receivers_answer());
    time_.advance(std::chrono::minutes(2));
    EXPECT_FALSE(dispatcher_.receivers_answer());
    answer_after(std::chrono::minutes(0));
    EXPECT_FALSE(dispatcher_.receivers_answer()) << "again";
}

TEST_F(DispatcherTest, EveryDeliveryLeavesExactlyOnce) {
    dispatcher_.add(some(20));
    for (int i = 0; i < 20; ++i) sender_.answer(i % 2 == 0 ? 200 : 500);
    EXPECT_EQ(outcomes_.size(), 20u);
    EXPECT_EQ(dispatcher_.in_flight() + dispatcher_.waiting(), 0u);
    EXPECT_EQ(observer_.in_flight, 0u);
}

TEST_F(DispatcherTest, PausedStartsNothingAndLetsWhatIsInFlightFinish) {
    dispatcher_.add(some(5));
    dispatcher_.set_paused(true);
    sender_.answer(200);
    EXPECT_EQ(sender_.attempts.size(), 1u);
    dispatcher_.release_waiting();
    EXPECT_EQ(outcomes_.size(), 4u);
    EXPECT_EQ(outcomes_.back().kind, OutcomeKind::kReleased);
    dispatcher_.set_paused(false);
    dispatcher_.add(some(1));
    EXPECT_EQ(sender_.attempts.size(), 2u);
}

TEST_F(DispatcherTest, ReleasesWhatIsInFlightAtTheEndAndIgnoresLateAnswers) {
    dispatcher_.add(some(2));
    dispatcher_.release_in_flight();
    ASSERT_EQ(outcomes_.size(), 2u);
    EXPECT_EQ(outcomes_[0].kind, OutcomeKind::kReleased);
    sender_.answer(200);
    EXPECT_EQ(outcomes_.size(), 2u);
    EXPECT_EQ(dispatcher_.in_flight(), 0u);
}

TEST_F(DispatcherTest, ForgetsWaitingOnesWhoseClaimWasReclaimed) {
    dispatcher_.add({delivery(1, 1, 10), delivery(2, 1, 10), delivery(3, 1, 20), delivery(4, 1, 30)});
    dispatcher_.drop_waiting_unless([](core::ClaimId claim) { return claim == 30; });
    EXPECT_EQ(dispatcher_.waiting(), 1u);
    EXPECT_TRUE(outcomes_.empty());
}

TEST_F(DispatcherTest, DefersWhatIsForAnEndpointThatDoesNotExist) {
    dispatcher_.add(some(1, 77));
    ASSERT_EQ(outcomes_.size(), 1u);
    EXPECT_EQ(outcomes_[0].kind, OutcomeKind::kDeferred) << "no attempt is used up";
    EXPECT_EQ(outcomes_[0].attempts, 0);
}

// Review of protocol: twelve endpoints that hang had all of the memory, and nothing else was sent.
TEST_F(DispatcherTest, WhatASilentEndpointCannotTakeIsHeldWhereThereAreOthers) {
    dispatcher_.set_endpoints({endpoint(1, 2), endpoint(2, 2)});
    dispatcher_.add(some(8, 1));
    EXPECT_EQ(dispatcher_.capacity(), 32u) << "what waits for a silent endpoint does not count";
    time_.advance(kSilentAfterQuiet + std::chrono::milliseconds(100));
    ASSERT_EQ(outcomes_.size(), 2u) << "2 in flight, and twice its limit waits";
    EXPECT_EQ(outcomes_[0].kind, OutcomeKind::kHeld);
    EXPECT_EQ(outcomes_[0].attempts, 0);
    dispatcher_.add(some(3, 1));
    EXPECT_EQ(outcomes_.size(), 5u) << "and at once from now on";
    dispatcher_.add(some(1, 2));
    EXPECT_EQ(sender_.attempts.size(), 3u) << "the other endpoint goes on";
}

TEST_F(DispatcherTest, AsksForMoreOfWhatIsHeldWhenAnEndpointCanTakeIt) {
    dispatcher_.set_endpoints({endpoint(1, 2), endpoint(2, 2)});
    auto held = some(2, 1);
    for (core::Delivery& delivery : held) delivery.was_held = true;
    dispatcher_.add(held);
    sender_.answer(200);
    EXPECT_EQ(held_room_calls_, 1);
    const auto capacities = dispatcher_.held_capacities();
    ASSERT_EQ(capacities.size(), 1u);
    EXPECT_EQ(capacities[0].endpoint, 1);
    EXPECT_EQ(capacities[0].capacity, 8) << "a quarter of what may wait";
    dispatcher_.add(some(2, 2));
    sender_.answer(200);
    sender_.answer(200);
    EXPECT_EQ(held_room_calls_, 2) << "only where something was held";
}

// A reader's finding: what waited for endpoints that hang filled the memory, and nothing was claimed for anybody.
TEST_F(DispatcherTest, SilentEndpointsNeverFillTheMemoryOfTheOthers) {
    std::vector<core::Endpoint> endpoints;
    for (core::EndpointId id = 1; id <= 200; ++id) endpoints.push_back(endpoint(id, 2));
    dispatcher_.set_endpoints(endpoints);
    for (core::EndpointId id = 1; id <= 200; ++id) {
        auto large = some(2, id);
        for (core::Delivery& delivery : large) delivery.content = std::string(3u << 19, 'x');
        dispatcher_.add(large);
    }
    EXPECT_EQ(dispatcher_.capacity(), 32u);
    time_.advance(kSilentAfterQuiet + std::chrono::milliseconds(100));
    EXPECT_EQ(dispatcher_.waiting(), 0u) << "what is in flight is more than they may have";
    EXPECT_GE(dispatcher_.in_flight(), 50u) << "75 MiB";
    EXPECT_EQ(dispatcher_.capacity(), 32u);
}

TEST_F(DispatcherTest, TellsWhichEndpointsMessagesAreHeldAndWhenTheyNoLongerAre) {
    core::Endpoint slow = endpoint(1, 2);
    slow.name = "slow";
    slow.state = core::EndpointState::kBacklogged;
    dispatcher_.set_endpoints({slow, endpoint(2, 2)});
    dispatcher_.set_endpoints({slow, endpoint(2, 2)});
    EXPECT_EQ(observer_.degraded, std::vector<std::string>{"backlog of endpoint slow"}) << "once";
    slow.state = core::EndpointState::kActive;
    dispatcher_.set_endpoints({slow, endpoint(2, 2)});
    EXPECT_TRUE(observer_.degraded.empty());
    slow.state = core::EndpointState::kBacklogged;
    dispatcher_.set_endpoints({slow, endpoint(2, 2)});
    EXPECT_EQ(observer_.degraded.size(), 1u);
    dispatcher_.set_endpoints({endpoint(2, 2)});
    EXPECT_TRUE(observer_.degraded.empty()) << "what was removed is no longer out of order";
}

TEST_F(DispatcherTest, ADisabledEndpointsMessagesAreHeldAndWhatIsInFlightFinishes) {
    dispatcher_.add(some(5));
    core::Endpoint disabled = endpoint(1, 2);
    disabled.state = core::EndpointState::kDisabled;
    dispatcher_.set_endpoints({disabled});
    ASSERT_EQ(outcomes_.size(), 3u) << "where it is the only one as well";
    EXPECT_EQ(outcomes_[0].kind, OutcomeKind::kHeld);
    dispatcher_.add(some(1));
    EXPECT_EQ(outcomes_.size(), 4u) << "what was claimed just before";
    sender_.answer(200);
    EXPECT_EQ(outcomes_.back().kind, OutcomeKind::kDelivered);
    EXPECT_EQ(sender_.attempts.size(), 1u) << "nothing new is started";
    EXPECT_EQ(dispatcher_.capacity(), 32u);
    disabled.state = core::EndpointState::kActive;
    dispatcher_.set_endpoints({disabled});
    dispatcher_.add(some(1));
    EXPECT_EQ(sender_.attempts.size(), 2u);
}

TEST_F(DispatcherTest, TheMessagesOfAnEndpointThatCannotBeSignedForAreHeldAndNotClaimedThere) {
    core::Endpoint broken = endpoint(1, 2);
    broken.name = "broken";
    broken.unusable = "its secret cannot be opened";
    dispatcher_.set_endpoints({endpoint(2, 2)});
    dispatcher_.set_endpoints({broken, endpoint(2, 2)});
    EXPECT_EQ(observer_.degraded, std::vector<std::string>{"signing for endpoint broken"});
    dispatcher_.add(some(1));
    ASSERT_EQ(outcomes_.size(), 1u);
    EXPECT_EQ(outcomes_[0].kind, OutcomeKind::kHeld);
    ASSERT_FALSE(dispatcher_.held_capacities().empty());
    EXPECT_EQ(dispatcher_.held_capacities().front().endpoint, 1);
    EXPECT_EQ(dispatcher_.held_capacities().front().capacity, 0);
    dispatcher_.add(some(1, 2));
    EXPECT_EQ(sender_.attempts.size(), 1u) << "others are sent to";
    broken.unusable = "";
    dispatcher_.set_endpoints({broken, endpoint(2, 2)});
    EXPECT_TRUE(observer_.degraded.empty());
    dispatcher_.add(some(1));
    EXPECT_EQ(sender_.attempts.size(), 2u);
}

// What was found of it carried the version before, and was dropped each time: it was tried again and again.
TEST_F(DispatcherTest, WhatIsFoundOfAnEndpointWhoseNewSecretCannotBeReadCounts) {
    core::Endpoint broken = endpoint(1, 2);
    dispatcher_.set_endpoints({broken, endpoint(2, 2)});
    broken.unusable = "its secret cannot be opened";
    ++broken.version;
    dispatcher_.set_endpoints({broken, endpoint(2, 2)});
    dispatcher_.add(some(1));
    sender_.answer(410);
    ASSERT_EQ(findings_.size(), 1u);
    EXPECT_EQ(findings_[0].version, broken.version);
}

TEST_F(DispatcherTest, AFindingOfAFormerUrlIsNotReportedOfTheNewOne) {
    core::Endpoint one = endpoint(1, 2);
    dispatcher_.set_endpoints({one, endpoint(2, 2)});
    fail(1);
    ASSERT_EQ(findings_.size(), 1u);
    one.url = "http://elsewhere/";
    ++one.version;
    dispatcher_.set_endpoints({one, endpoint(2, 2)});
    EXPECT_EQ(findings_.size(), 1u) << "the first one was dropped, and nothing is known of the new URL";
    dispatcher_.add(some(1));
    EXPECT_EQ(sender_.attempts.size(), 1u) << "and it is used at once";
}

TEST_F(DispatcherTest, AnEndpointThatWorkedIsUsedAsItWasWhileItCannotBeSignedForAnew) {
    core::Endpoint broken = endpoint(1, 2);
    broken.name = "broken";
    dispatcher_.set_endpoints({broken, endpoint(2, 2)});
    broken.unusable = "its secret cannot be opened";
    dispatcher_.set_endpoints({broken, endpoint(2, 2)});
    EXPECT_EQ(observer_.degraded.size(), 1u) << "and that is said";
    dispatcher_.add(some(1));
    EXPECT_EQ(sender_.attempts.size(), 1u);
    broken.state = core::EndpointState::kDisabled;
    dispatcher_.set_endpoints({broken, endpoint(2, 2)});
    dispatcher_.add(some(1));
    EXPECT_EQ(sender_.attempts.size(), 1u) << "its state counts all the same";
}

TEST_F(DispatcherTest, AnEndpointsOwnAttemptsCountBeforeTheServices) {
    core::Endpoint once = endpoint(1, 2);
    once.max_attempts = 1;
    dispatcher_.set_endpoints({once, endpoint(2, 2)});
    dispatcher_.add(some(1, 1));
    sender_.answer(500);
    dispatcher_.add(some(1, 2));
    sender_.answer(500);
    ASSERT_EQ(outcomes_.size(), 2u);
    EXPECT_EQ(outcomes_[0].kind, OutcomeKind::kDead);
    EXPECT_EQ(outcomes_[1].kind, OutcomeKind::kRetry);
}

TEST_F(DispatcherTest, CountsAttemptsOfEachEndpointAndNoFaultsOfOurOwn) {
    dispatcher_.set_endpoints({endpoint(1, 2), endpoint(2, 2)});
    dispatcher_.add(some(1, 1));
    sender_.answer(200);
    dispatcher_.add(some(1, 1));
    sender_.answer(503);
    dispatcher_.add(some(1, 2));
    core::AttemptResult ours;
    ours.fault = core::AttemptFault::kLocal;
    take_first(sender_.attempts).done(ours);
    const auto figures = dispatcher_.take_figures();
    ASSERT_EQ(figures.size(), 1u) << "a fault of ours counts for no endpoint";
    EXPECT_EQ(figures[0].endpoint, 1);
    EXPECT_EQ(figures[0].name, endpoint(1, 2).name);
    EXPECT_EQ(figures[0].sent, 1);
    EXPECT_EQ(figures[0].failed, 1);
    EXPECT_EQ(figures[0].last_error, "the receiver answered HTTP 503");
    EXPECT_TRUE(dispatcher_.take_figures().empty()) << "once";
}

TEST_F(DispatcherTest, TellsWhenRequestsCannotBeStartedAndWhenTheyCanAgain) {
    dispatcher_.add(some(3));
    core::AttemptResult result;
    result.fault = core::AttemptFault::kLocal;
    result.detail = "Too many open files";
    take_first(sender_.attempts).done(result);
    EXPECT_EQ(observer_.degraded, std::vector<std::string>{"starting requests"});
    time_.advance(std::chrono::milliseconds(999));
    EXPECT_FALSE(observer_.degraded.empty());
    time_.advance(std::chrono::milliseconds(1));
    EXPECT_TRUE(observer_.degraded.empty()) << "a second without a fault";
}

TEST_F(DispatcherTest, AForbiddenAddressIsReportedAndUsesUpAnAttempt) {
    dispatcher_.add(some(1));
    core::AttemptResult result;
    result.fault = core::AttemptFault::kForbidden;
    result.detail = "10.0.0.5 is a private address; allow it with ALLOWED_NETWORKS";
    take_first(sender_.attempts).done(result);
    ASSERT_EQ(outcomes_.size(), 1u);
    EXPECT_EQ(outcomes_[0].kind, core::OutcomeKind::kRetry);
    EXPECT_EQ(outcomes_[0].attempts, 1);
    EXPECT_EQ(outcomes_[0].error, result.detail);
    EXPECT_EQ(observer_.attempts[core::AttemptFault::kForbidden], 1);
    EXPECT_TRUE(observer_.degraded.empty()) << "it is no fault of the service";
}

TEST_F(DispatcherTest, AnEndpointThatOnlyFailsIsTriedWithOneMessageAtATime) {
    dispatcher_.set_endpoints({endpoint(1, 2), endpoint(2, 2)});
    fail(1);
    ASSERT_EQ(findings_.size(), 1u);
    EXPECT_EQ(findings_[0].endpoint, 1);
    EXPECT_EQ(findings_[0].finding, Finding::kFailing);
    outcomes_.clear();
    dispatcher_.add(some(3, 1));
    ASSERT_EQ(outcomes_.size(), 3u);
    EXPECT_EQ(outcomes_[0].kind, OutcomeKind::kHeld) << "no attempt is used";
    EXPECT_TRUE(sender_.attempts.empty());
    EXPECT_EQ(dispatcher_.held_capacities().at(0).capacity, 0) << "and nothing is claimed for it";
    dispatcher_.add(some(1, 2));
    EXPECT_EQ(sender_.attempts.size(), 1u) << "others go on";
    sender_.answer(200);
    const int calls = held_room_calls_;
    time_.advance(std::chrono::seconds(5));
    EXPECT_EQ(held_room_calls_, calls + 1) << "the pause is over";
    EXPECT_EQ(dispatcher_.held_capacities().at(0).capacity, 1);
    dispatcher_.add(some(3, 1));
    EXPECT_EQ(sender_.attempts.size(), 1u);
    sender_.answer(200);
    EXPECT_EQ(findings_.back().finding, Finding::kRecovered);
    dispatcher_.add(some(3, 1));
    EXPECT_GT(sender_.attempts.size(), 0u);
}

TEST_F(DispatcherTest, ALoneEndpointThatFailsKeepsItsMessagesInMemory) {
    fail(1);
    outcomes_.clear();
    dispatcher_.add(some(3));
    EXPECT_TRUE(sender_.attempts.empty());
    EXPECT_TRUE(outcomes_.empty());
    time_.advance(std::chrono::seconds(5));
    ASSERT_EQ(sender_.attempts.size(), 1u);
    sender_.answer(200);
    EXPECT_GT(sender_.attempts.size(), 0u);
}

TEST_F(DispatcherTest, FollowsWhatOtherEnginesFindAndRepeatsWhatTheyDoNotKnow) {
    core::Endpoint one = endpoint(1, 2);
    one.name = "one";
    dispatcher_.set_endpoints({one, endpoint(2, 2)});
    one.state = core::EndpointState::kFailing;
    dispatcher_.set_endpoints({one, endpoint(2, 2)});
    EXPECT_EQ(observer_.degraded, std::vector<std::string>{"requests to endpoint one"});
    dispatcher_.add(some(3, 1));
    EXPECT_EQ(sender_.attempts.size(), 1u) << "a try, at once";
    sender_.answer(200);
    ASSERT_EQ(findings_.size(), 1u);
    EXPECT_EQ(findings_[0].finding, Finding::kRecovered);
    dispatcher_.set_endpoints({one, endpoint(2, 2)});
    ASSERT_EQ(findings_.size(), 2u) << "it has been lost";
    EXPECT_EQ(findings_[1].finding, Finding::kRecovered);
    one.state = core::EndpointState::kActive;
    dispatcher_.set_endpoints({one, endpoint(2, 2)});
    EXPECT_EQ(findings_.size(), 2u);
    EXPECT_TRUE(observer_.degraded.empty());
    fail(1);
    ASSERT_EQ(findings_.size(), 3u);
    dispatcher_.set_endpoints({one, endpoint(2, 2)});
    ASSERT_EQ(findings_.size(), 4u) << "it has been lost";
    EXPECT_EQ(findings_[3].finding, Finding::kFailing);
    EXPECT_EQ(findings_[3].reason, "the receiver answered HTTP 500");
    one.state = core::EndpointState::kFailing;
    dispatcher_.set_endpoints({one, endpoint(2, 2)});
    one.state = core::EndpointState::kBacklogged;
    dispatcher_.set_endpoints({one, endpoint(2, 2)});
    EXPECT_EQ(dispatcher_.held_capacities().at(0).capacity, 1) << "another engine has had an answer: a try, at once";
    dispatcher_.add(some(1, 1));
    sender_.answer(200);
    EXPECT_GT(dispatcher_.held_capacities().at(0).capacity, 1);
}

TEST_F(DispatcherTest, AnswersOf410DisableAnEndpoint) {
    dispatcher_.set_endpoints({endpoint(1, 1), endpoint(2, 2)});
    dispatcher_.add(some(3, 1));
    sender_.answer(410);
    ASSERT_EQ(findings_.size(), 1u);
    EXPECT_EQ(findings_[0].finding, Finding::kGone);
    ASSERT_EQ(outcomes_.size(), 3u);
    EXPECT_EQ(std::count_if(outcomes_.begin(), outcomes_.end(), [](const auto& one) { return one.kind == OutcomeKind::kHeld; }),
              2);
    EXPECT_EQ(std::count_if(outcomes_.begin(), outcomes_.end(), [](const auto& one) { return one.kind == OutcomeKind::kRetry; }),
              1);
    EXPECT_TRUE(sender_.attempts.empty());
}

// Before, a late 410 of the former URL disabled the endpoint after the new one had accepted messages.
TEST_F(DispatcherTest, WhatAnEndpointAnsweredBeforeItWasChangedSaysNothingOfItAsItIsNow) {
    dispatcher_.add(some(1, 1));
    core::Endpoint moved = endpoint(1, 2);
    moved.url = "http://elsewhere/";
    ++moved.version;
    dispatcher_.set_endpoints({moved});
    sender_.answer(410);
    EXPECT_TRUE(findings_.empty());
    EXPECT_EQ(outcomes_.back().kind, OutcomeKind::kRetry) << "for the message it is an attempt as any other";
    dispatcher_.add(some(1, 1));
    sender_.answer(410);
    ASSERT_EQ(findings_.size(), 1u);
    EXPECT_EQ(findings_[0].finding, Finding::kGone);
    EXPECT_EQ(findings_[0].version, moved.version);
}

TEST_F(DispatcherTest, AnOverloadedEndpointWaitsForAsLongAsItAsks) {
    dispatcher_.set_endpoints({endpoint(1, 2), endpoint(2, 2)});
    dispatcher_.add(some(1, 1));
    core::AttemptResult busy;
    busy.status = 429;
    busy.retry_after = "2";
    take_first(sender_.attempts).done(busy);
    dispatcher_.add(some(1, 1));
    EXPECT_TRUE(sender_.attempts.empty());
    EXPECT_TRUE(findings_.empty()) << "it is not failing";
    const int calls = held_room_calls_;
    time_.advance(std::chrono::seconds(2));
    EXPECT_EQ(held_room_calls_, calls + 1);
    dispatcher_.add(some(1, 1));
    EXPECT_EQ(sender_.attempts.size(), 1u);
}

TEST_F(DispatcherTest, ARateLimitSpacesTheRequestsAndHoldsWhatIsMoreThanASecondsWork) {
    core::Endpoint limited = endpoint(1, 30);
    limited.rate_limit = 10;
    dispatcher_.set_endpoints({limited, endpoint(2, 2)});
    auto deliveries = some(12, 1);
    dispatcher_.add(deliveries);
    EXPECT_TRUE(sender_.attempts.empty()) << "no moment is reserved yet";
    EXPECT_EQ(outcomes_.size(), 4u) << "a quarter of the prefetch limit waits, and no more than 10";
    ASSERT_EQ(stores_.reservations.size(), 1u);
    EXPECT_EQ(stores_.reservations[0].request[0].count, 2) << "a quarter of a second's";
    take_first(stores_.reservations).answer(std::vector<RateGrant>{{1, 2, {}}});
    EXPECT_EQ(sender_.attempts.size(), 1u);
    time_.advance(std::chrono::milliseconds(99));
    EXPECT_EQ(sender_.attempts.size(), 1u);
    time_.advance(std::chrono::milliseconds(1));
    EXPECT_EQ(sender_.attempts.size(), 2u);
    ASSERT_EQ(stores_.reservations.size(), 1u) << "the next moments";
    take_first(stores_.reservations).answer(std::vector<RateGrant>{{1, 2, std::chrono::milliseconds(100)}});
    limited.rate_limit.reset();
    dispatcher_.set_endpoints({limited, endpoint(2, 2)});
    EXPECT_EQ(sender_.attempts.size(), 8u) << "no limit any more";
}

// A reader's finding: they stayed in memory, unsent, until the process ended.
TEST_F(DispatcherTest, MessagesOfALimitedEndpointThatIsRemovedLeave) {
    core::Endpoint limited = endpoint(1, 2);
    limited.rate_limit = 1;
    dispatcher_.set_endpoints({limited, endpoint(2, 2)});
    dispatcher_.add(some(1, 1));
    dispatcher_.set_endpoints({endpoint(2, 2)});
    ASSERT_EQ(outcomes_.size(), 1u);
    EXPECT_EQ(outcomes_[0].kind, OutcomeKind::kDeferred);
}

TEST_F(DispatcherTest, AClosedGateReservesNoMoments) {
    core::Endpoint limited = endpoint(1, 2);
    limited.rate_limit = 10;
    dispatcher_.set_endpoints({limited});
    dispatcher_.add(some(3, 1));
    take_first(stores_.reservations).answer(std::vector<RateGrant>{{1, 1, {}}});
    core::AttemptResult busy;
    busy.status = 429;
    busy.retry_after = "30";
    take_first(sender_.attempts).done(busy);
    if (!stores_.reservations.empty()) take_first(stores_.reservations).answer(std::vector<RateGrant>{{1, 2, {}}});
    time_.advance(std::chrono::seconds(29));
    EXPECT_TRUE(stores_.reservations.empty());
    time_.advance(std::chrono::seconds(1));
    EXPECT_EQ(stores_.reservations.size(), 1u);
    take_first(stores_.reservations).answer(std::vector<RateGrant>{{1, 1, {}}});
    EXPECT_EQ(sender_.attempts.size(), 1u);
}

TEST_F(DispatcherTest, AMomentThatPassesWhileAllSlotsAreInUseIsNotUsedLater) {
    core::Endpoint limited = endpoint(1, 1);
    limited.rate_limit = 100;
    dispatcher_.set_endpoints({limited});
    dispatcher_.add(some(3, 1));
    take_first(stores_.reservations).answer(std::vector<RateGrant>{{1, 3, {}}});
    EXPECT_EQ(sender_.attempts.size(), 1u) << "max_in_flight is 1";
    time_.advance(std::chrono::seconds(1));
    sender_.answer(200);
    EXPECT_TRUE(sender_.attempts.empty());
    ASSERT_EQ(stores_.reservations.size(), 1u);
    take_first(stores_.reservations).answer(std::vector<RateGrant>{{1, 1, {}}});
    EXPECT_EQ(sender_.attempts.size(), 1u);
}

TEST_F(DispatcherTest, MessagesOfALoneEndpointAreNeverHeld) {
    dispatcher_.add(some(32));
    time_.advance(std::chrono::seconds(1));
    EXPECT_EQ(dispatcher_.capacity(), 0u);
    dispatcher_.add(some(3));
    EXPECT_TRUE(outcomes_.empty());
}

TEST_F(DispatcherTest, TheAgeAtDeliveryCountsFromTheInsert) {
    auto one = some(1);
    one[0].age_seconds = 3;
    dispatcher_.add(one);
    time_.advance(std::chrono::milliseconds(500));
    sender_.answer(200);
    ASSERT_EQ(observer_.ages.size(), 1u);
    EXPECT_DOUBLE_EQ(observer_.ages[0], 3.5);
}

}  // namespace
}  // namespace messaging::engine
