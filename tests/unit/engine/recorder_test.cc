// Outcomes are kept until PostgreSQL has them.
#include "engine/recorder.h"

#include <gtest/gtest.h>

#include <array>
#include <set>
#include <utility>

#include "engine/record_store.h"
#include "support/fake_ports.h"
#include "support/fake_time.h"

namespace messaging::engine {
namespace {

using std::chrono::milliseconds;
using test::take_first;

class RecorderTest : public testing::Test {
protected:
    void add(core::MessageId id, core::ClaimId claim = 1) {
        core::Outcome outcome;
        outcome.id = id;
        outcome.claim_id = claim;
        outcome.receiver_message_id = "theirs";
        recorder_.add(std::move(outcome));
    }
    // Answers the transaction under way, or the next after the pause, as committed, everything in it newly sent.
    RecordRequest commit() {
        if (store_.records.empty()) time_.advance(kSmallBatchPause);
        auto call = take_first(store_.records);
        RecordResult result;
        result.sent_batch = ++last_batch_;
        for (const auto& outcome : call.request.outcomes) result.sent.push_back(outcome.id);
        call.answer(result);
        return call.request;
    }
    void add_many(core::MessageId first, std::size_t count) {
        for (std::size_t i = 0; i < count; ++i) add(first + static_cast<core::MessageId>(i));
    }
    RecordRequest fail(core::ErrorKind kind, const char* sqlstate = "") {
        auto call = take_first(store_.records);
        call.answer(core::Error{kind, "no", sqlstate});
        return call.request;
    }
    static std::string ids(const RecordRequest& request) {
        std::string text;
        for (const auto& outcome : request.outcomes) text += std::to_string(outcome.id) + " ";
        return text;
    }

    test::FakeTime time_;
    test::FakeEngineStores store_;
    test::FakeObserver observer_;
    OpenClaims open_claims_;
    std::vector<core::Receipt> receipts_;
    std::int64_t last_batch_ = 0;
    std::vector<std::int64_t> forgotten_;
    int progress_ = 0;
    int held_ = 0;
    std::vector<milliseconds> due_;
    Recorder recorder_{store_,
                       open_claims_,
                       time_,
                       time_,
                       observer_,
                       {.instance_id = [] { return 5; },
                        .on_sent_batch =
                            [this](std::int64_t, std::vector<core::Receipt> receipts) {
                                receipts_.insert(receipts_.end(), receipts.begin(), receipts.end());
                            },
                        .on_confirmations_recorded = [this](const std::vector<std::int64_t>& batches) { forgotten_ = batches; },
                        .on_scheduled = [this](milliseconds delay) { due_.push_back(delay); },
                        .on_held = [this] { ++held_; },
                        .on_progress = [this] { ++progress_; }}};
};

TEST(RecorderStates, MoveOnlyAlongTheLegalMoves) {
    using State = Recorder::State;
    const std::set<std::pair<State, State>> legal{{State::kReady, State::kReady},
                                                  {State::kReady, State::kPausing},
                                                  {State::kReady, State::kFindingLocks},
                                                  {State::kReady, State::kRecording},
                                                  {State::kPausing, State::kReady},
                                                  {State::kPausing, State::kPausing},
                                                  {State::kPausing, State::kFindingLocks},
                                                  {State::kPausing, State::kRecording},
                                                  {State::kBackingOff, State::kReady},
                                                  {State::kBackingOff, State::kFindingLocks},
                                                  {State::kBackingOff, State::kRecording},
                                                  {State::kFindingLocks, State::kReady},
                                                  {State::kFindingLocks, State::kRecording},
                                                  {State::kFindingLocks, State::kBackingOff},
                                                  {State::kRecording, State::kReady},
                                                  {State::kRecording, State::kBackingOff}};
    const std::array all{State::kReady, State::kPausing, State::kBackingOff, State::kFindingLocks, State::kRecording};
    for (const State from : all) {
        for (const State to : all) {
            EXPECT_EQ(Recorder::may_follow(from, to), legal.contains({from, to}))
                << static_cast<int>(from) << " to " << static_cast<int>(to);
        }
    }
}

TEST_F(RecorderTest, OneAloneGoesAtOnceAndWhatComesMeanwhileGoesTogether) {
    add(1);
    add(2);
    add(3);
    ASSERT_EQ(store_.records.size(), 1u) << "one transaction at a time";
    EXPECT_EQ(ids(commit()), "1 ");
    EXPECT_EQ(ids(commit()), "2 3 ");
    EXPECT_TRUE(recorder_.idle());
    EXPECT_EQ(receipts_.size(), 3u);
    EXPECT_EQ(progress_, 2);
}

// A deferred trigger runs at the commit, where no statement_timeout applies: only the session's own deadline ends it.
TEST_F(RecorderTest, AnOutcomeWhoseCommitIsNeverAnsweredDelaysNoOther) {
    add(1);
    commit();
    add(2);
    add(3);
    time_.advance(kSmallBatchPause);
    EXPECT_EQ(ids(fail(core::ErrorKind::kTimeout)), "2 3 ");
    time_.advance(kAfterRefusal);
    EXPECT_EQ(ids(fail(core::ErrorKind::kTimeout)), "2 ");
    time_.advance(kAfterRefusal);
    EXPECT_EQ(ids(commit()), "3 ");
}

TEST_F(RecorderTest, PausesAsLongAsATransactionTook) {
    add(1);
    time_.advance(milliseconds(1));
    commit();
    add_many(100, kSmallBatch);
    EXPECT_TRUE(store_.records.empty());
    time_.advance(milliseconds(1));
    EXPECT_EQ(commit().outcomes.size(), kSmallBatch);
}

TEST_F(RecorderTest, ASmallBatchWaitsALittleLongerForMore) {
    add(1);
    commit();
    add_many(100, kSmallBatch - 1);
    time_.advance(kSmallBatchPause - milliseconds(1));
    EXPECT_TRUE(store_.records.empty());
    time_.advance(milliseconds(1));
    EXPECT_EQ(commit().outcomes.size(), kSmallBatch - 1);
    add_many(200, kSmallBatch - 1);
    time_.advance(kSmallBatchPause / 2);
    EXPECT_TRUE(store_.records.empty());
    add(300);
    EXPECT_EQ(commit().outcomes.size(), kSmallBatch) << "which is no longer few";
    time_.advance(kSmallBatchPause);
    add(4);
    EXPECT_EQ(store_.records.size(), 1u) << "one alone, long after the last: at once";
}

TEST_F(RecorderTest, ASlowTransactionIsFollowedByABoundedRest) {
    add(1);
    time_.advance(milliseconds(4000));
    commit();
    add_many(100, kSmallBatch);
    time_.advance(kMaxPause);
    EXPECT_EQ(store_.records.size(), 1u);
}

TEST_F(RecorderTest, AFullTransactionDoesNotWaitForTheRest) {
    add(0);
    time_.advance(milliseconds(7));
    commit();
    add_many(1, kMaxRecordBatch);
    EXPECT_EQ(store_.records.size(), 1u);
}

TEST_F(RecorderTest, TellsWhenTheFirstScheduledOneFallsDue) {
    const auto put_off = [this](core::MessageId id, core::OutcomeKind kind, milliseconds delay) {
        core::Outcome outcome;
        outcome.id = id;
        outcome.kind = kind;
        outcome.delay = delay;
        recorder_.add(std::move(outcome));
    };
    put_off(1, core::OutcomeKind::kRetry, milliseconds(700));
    put_off(2, core::OutcomeKind::kDeferred, milliseconds(300));
    put_off(3, core::OutcomeKind::kRetry, milliseconds(500));
    put_off(4, core::OutcomeKind::kDelivered, milliseconds(0));
    EXPECT_TRUE(due_.empty()) << "it is not due before it is committed";
    commit();
    commit();
    EXPECT_EQ(due_, (std::vector<milliseconds>{milliseconds(700), milliseconds(300)}));
}

TEST_F(RecorderTest, TellsWhenMessagesWereMovedToTheHold) {
    core::Outcome held;
    held.id = 1;
    held.kind = core::OutcomeKind::kHeld;
    recorder_.add(std::move(held));
    EXPECT_EQ(held_, 0);
    commit();
    EXPECT_EQ(held_, 1);
    add(2);
    commit();
    EXPECT_EQ(held_, 1);
}

TEST_F(RecorderTest, NoTransactionHoldsMoreThanItsLimit) {
    for (int id = 0; id <= 2500; ++id) add(id);
    EXPECT_EQ(commit().outcomes.size(), 1u);
    EXPECT_EQ(commit().outcomes.size(), kMaxRecordBatch);
    EXPECT_EQ(commit().outcomes.size(), kMaxRecordBatch);
    EXPECT_EQ(commit().outcomes.size(), 500u);
}

TEST_F(RecorderTest, TriesForEverAndLosesNothing) {
    add(1);
    add(2);
    EXPECT_EQ(ids(fail(core::ErrorKind::kUnavailable)), "1 ");
    for (int i = 0; i < 20; ++i) {
        EXPECT_TRUE(store_.records.empty()) << "not at once";
        EXPECT_EQ(recorder_.unrecorded(), 2u);
        time_.advance(milliseconds(2000));
        EXPECT_EQ(ids(fail(core::ErrorKind::kUnavailable)), "1 2 ");
    }
    recorder_.retry_now();
    EXPECT_EQ(ids(commit()), "1 2 ") << "a new session tries at once";
    EXPECT_EQ(observer_.errors["record"], 21);
}

TEST_F(RecorderTest, WhatCannotBeRecordedEndsUpAloneBehindTheOthers) {
    for (int id = 0; id <= 4; ++id) add(id);
    commit();
    std::vector<std::string> recorded;
    for (int round = 0; round < 30 && !(store_.records.empty() && recorder_.unrecorded() == 0); ++round) {
        time_.advance(milliseconds(2000));
        if (store_.records.empty()) continue;
        const auto& outcomes = store_.records.front().request.outcomes;
        const bool poisoned =
            std::any_of(outcomes.begin(), outcomes.end(), [](const auto& one) { return one.id == 3 && one.receiver_message_id; });
        recorded.push_back((poisoned ? "refused " : "") + ids(poisoned ? fail(core::ErrorKind::kInvalid) : commit()));
    }
    EXPECT_TRUE(recorder_.idle());
    EXPECT_EQ(receipts_.size(), 5u) << "the one that was refused is recorded without the receiver's words";
    EXPECT_EQ(recorded.back(), "3 ");
}

// A constraint of the application's can refuse one message for ever. It used to join the others' batches again and again, each of
// which was refused with it.
TEST_F(RecorderTest, ARefusedOutcomeIsTriedByItselfFromThenOn) {
    add(1);
    add(2);
    add(3);
    commit();
    time_.advance(kSmallBatchPause);
    EXPECT_EQ(ids(fail(core::ErrorKind::kInternal)), "2 3 ");
    time_.advance(kAfterRefusal);
    EXPECT_EQ(ids(fail(core::ErrorKind::kInternal)), "2 ");
    time_.advance(kAfterRefusal);
    EXPECT_EQ(ids(commit()), "3 ");
    recorder_.confirm(7);
    for (int round = 0; round < 5; ++round) {
        add_many(100, kMaxRecordBatch);
        for (int step = 0; step < 4000 && (store_.records.empty() || ids(store_.records.front().request) != "2 "); ++step) {
            if (!store_.records.empty()) commit();
            time_.advance(milliseconds(10));
        }
        ASSERT_EQ(store_.records.size(), 1u);
        EXPECT_TRUE(store_.records.front().request.confirmed_batches.empty());
        EXPECT_EQ(ids(fail(core::ErrorKind::kInternal)), "2 ") << "nothing else is refused because of it";
        time_.advance(kAfterRefusal);
    }
    EXPECT_EQ(recorder_.unrecorded(), 1u);
    EXPECT_EQ(observer_.errors["record"], 1);
    EXPECT_EQ(observer_.errors["record one message"], 6);
    time_.advance(kLastRefusedRetry);
    EXPECT_EQ(ids(commit()), "2 ");
    EXPECT_TRUE(recorder_.idle());
}

// The trigger of an application waited for a lock on a row of another table: every row of messages was free, so the whole batch
// was tried again for ever.
TEST_F(RecorderTest, ATransactionThatNeedsMoreThanTheServerHasIsMadeSmaller) {
    for (int id = 0; id <= 4; ++id) add(id);
    commit();
    time_.advance(kSmallBatchPause);
    EXPECT_EQ(ids(fail(core::ErrorKind::kUnavailable, "53400")), "1 2 3 4 ");
    time_.advance(milliseconds(1000));
    EXPECT_EQ(ids(commit()), "1 2 ");
    time_.advance(kSmallBatchPause);
    EXPECT_EQ(ids(commit()), "3 4 ");
}

TEST_F(RecorderTest, ALockThatIsOnNoRowOfMessagesEndsUpWithItsOutcomeAlone) {
    for (int id = 0; id <= 4; ++id) add(id);
    commit();
    std::string last;
    for (int round = 0; round < 40 && recorder_.unrecorded() > 1; ++round) {
        time_.advance(kAfterRefusal);
        if (!store_.unlocks.empty()) {
            auto check = test::take_first(store_.unlocks);
            check.answer(std::vector<core::MessageId>(check.request));
        }
        if (store_.records.empty()) continue;
        const auto& outcomes = store_.records.front().request.outcomes;
        const bool waits = std::any_of(outcomes.begin(), outcomes.end(), [](const auto& one) { return one.id == 3; });
        last = ids(waits ? fail(core::ErrorKind::kTimeout, "55P03") : commit());
    }
    EXPECT_EQ(recorder_.unrecorded(), 1u);
    EXPECT_EQ(receipts_.size(), 4u);
}

// A trigger that calls another server raises class 08 while that is down.
TEST_F(RecorderTest, AnErrorThatATriggerRaisesIsNoLostSession) {
    for (const char* const sqlstate : {"08006", "40001"}) {
        time_.advance(kSmallBatchPause);
        add(1);
        add(2);
        commit();
        time_.advance(kSmallBatchPause);
        EXPECT_EQ(ids(fail(core::ErrorKind::kUnavailable, sqlstate)), "2 ");
        add(3);
        time_.advance(kAfterRefusal);
        EXPECT_EQ(ids(commit()), "3 ") << "it waits apart";
        time_.advance(kRefusedRetry);
        EXPECT_EQ(ids(commit()), "2 ");
    }
}

TEST_F(RecorderTest, ThousandsOfRefusedOutcomesDoNotStopTheClaiming) {
    for (std::size_t id = 0; id < kMaxUnrecorded + 1; ++id) {
        add(static_cast<core::MessageId>(id));
        while (store_.records.empty()) time_.advance(milliseconds(1));
        fail(core::ErrorKind::kInternal);
        while (recorder_.unrecorded() <= id) time_.advance(kAfterRefusal);
    }
    EXPECT_FALSE(recorder_.full());
}

class VeryManyRefused : public RecorderTest {
protected:
    VeryManyRefused() {
        for (std::size_t id = 0; id < kMaxRefused; ++id) {
            core::Outcome outcome;
            outcome.id = static_cast<core::MessageId>(id);
            outcome.attempts = 3;
            recorder_.add(outcome);
        }
    }
    // PostgreSQL refuses every change of the rows below 1,000,000, while `refuses_`. It does not find row 1,000,000.
    void run_for(std::chrono::seconds duration) {
        for (const core::MonoTime end = time_.mono() + duration; time_.mono() < end;) {
            if (store_.records.empty()) {
                time_.advance(milliseconds(10));
                continue;
            }
            const std::vector<core::Outcome>& outcomes = store_.records.front().request.outcomes;
            const bool refused = refuses_ && std::any_of(outcomes.begin(), outcomes.end(), [](const core::Outcome& outcome) {
                                     return outcome.kind == core::OutcomeKind::kDelivered && outcome.id < 1'000'000;
                                 });
            if (refused) {
                fail(core::ErrorKind::kInternal);
                continue;
            }
            RecordResult result;
            for (const core::Outcome& outcome : outcomes) {
                if (outcome.kind == core::OutcomeKind::kGivenUp) given_up_.push_back(outcome);
                if (outcome.kind == core::OutcomeKind::kDelivered && outcome.id != 1'000'000) result.sent.push_back(outcome.id);
            }
            take_first(store_.records).answer(result);
        }
    }
    bool refuses_ = true;
    std::vector<core::Outcome> given_up_;
};

TEST_F(VeryManyRefused, ThoseThatAreRefusedAgainAfterOthersWereRecordedAreGivenUp) {
    run_for(std::chrono::seconds(600));
    EXPECT_TRUE(given_up_.empty()) << "none is recorded, so the cause is not theirs";
    add(1'000'000);
    run_for(std::chrono::seconds(60));
    EXPECT_TRUE(given_up_.empty()) << "it has changed no row: somebody has deleted it";
    for (int id = 1; id <= 3; ++id) {
        add(1'000'000 + id);
        add(2'000'000 + id);
        core::Outcome one_more;
        one_more.id = 500'000 + id;
        one_more.attempts = 3;
        recorder_.add(one_more);
        run_for(std::chrono::seconds(60));
        EXPECT_EQ(given_up_.size(), static_cast<std::size_t>(id)) << "one for each that is too many";
    }
    EXPECT_EQ(given_up_.front().attempts, 2) << "as at the claim";
    EXPECT_EQ(given_up_.front().error,
              "accepted by the receiver, but it cannot be recorded: PostgreSQL refuses to change its row");
    EXPECT_EQ(observer_.dead_lettered, 3u);
    EXPECT_EQ(recorder_.unrecorded(), kMaxRefused);
}

// A reader's finding: 4,000 of 14,000 were dead-lettered, and a new message was recorded 37 s later.
TEST_F(VeryManyRefused, WhenTheCauseIsOverAllAreRecordedSoonAndNoneIsGivenUp) {
    for (int id = 0; id < 4000; ++id) add(500'000 + id);
    run_for(std::chrono::seconds(1200));
    EXPECT_EQ(recorder_.unrecorded(), kMaxRefused + 4000);
    refuses_ = false;
    add(1'000'001);
    run_for(std::chrono::seconds(1));
    EXPECT_TRUE(recorder_.idle());
    EXPECT_TRUE(given_up_.empty());
}

TEST_F(RecorderTest, AMessageWhoseRowStaysAsItWasIsGivenUp) {
    core::Outcome failed;
    failed.id = 7;
    failed.claim_id = 70;
    failed.kind = core::OutcomeKind::kRetry;
    failed.attempts = 4;
    failed.error = "the receiver answered HTTP 503";
    open_claims_.add(70, 1);
    recorder_.add(failed);
    ASSERT_EQ(store_.records.front().request.finished, std::vector<core::ClaimId>{70});
    RecordResult unchanged;
    unchanged.kept = {{70, 7}, {70, 8}};
    take_first(store_.records).answer(unchanged);
    EXPECT_EQ(open_claims_.claims(), std::vector<core::ClaimId>{70}) << "or the message would be rescheduled meanwhile";
    time_.advance(kSmallBatchPause);
    const RecordRequest request = store_.records.front().request;
    EXPECT_EQ(ids(request), "7 ") << "of 8 this transaction had no outcome";
    EXPECT_EQ(request.outcomes.front().kind, core::OutcomeKind::kGivenUp);
    EXPECT_EQ(request.outcomes.front().attempts, 3);
    EXPECT_EQ(
        request.outcomes.front().error,
        "failed (the receiver answered HTTP 503), but it cannot be recorded: a trigger on messages leaves its row unchanged");
    EXPECT_EQ(request.finished, std::vector<core::ClaimId>{70});
    take_first(store_.records).answer(RecordResult{});
    EXPECT_EQ(observer_.dead_lettered, 1u);
    EXPECT_TRUE(open_claims_.claims().empty());
}

TEST_F(RecorderTest, ARefusedOutcomeIsTriedLessAndLessOften) {
    add(1);
    fail(core::ErrorKind::kInternal);
    time_.advance(kAfterRefusal);
    int tries = 0;
    for (int second = 0; second < 300; ++second) {
        time_.advance(milliseconds(1000));
        if (store_.records.empty()) continue;
        fail(core::ErrorKind::kInternal);
        ++tries;
    }
    EXPECT_LE(tries, 16) << "each can hold the session for as long as a statement may take";
    EXPECT_GE(tries, 8);
}

TEST_F(RecorderTest, WhenOneRefusedOutcomeIsRecordedTheOthersAreTriedAtOnce) {
    for (int id = 1; id <= 4; ++id) {
        add(id);
        fail(core::ErrorKind::kInternal);
        time_.advance(kAfterRefusal);
    }
    EXPECT_EQ(recorder_.unrecorded(), 4u);
    time_.advance(kRefusedRetry);
    for (const char* batch : {"1 ", "2 3 ", "4 "}) EXPECT_EQ(ids(commit()), batch);
    EXPECT_TRUE(recorder_.idle());
    // The timer that would have tried the next one finds none: it once took an outcome that was not there, and stopped
    // everything.
    time_.advance(2 * kRefusedRetry);
    EXPECT_TRUE(store_.records.empty());
    EXPECT_TRUE(recorder_.idle());
    add(9);
    EXPECT_EQ(ids(commit()), "9 ");
}

TEST_F(RecorderTest, ARefusedOutcomeThatTheEndHasRecordedIsNotTriedAgain) {
    add(1);
    fail(core::ErrorKind::kInternal);
    time_.advance(kAfterRefusal);
    recorder_.flush_now();
    EXPECT_EQ(ids(commit()), "1 ");
    EXPECT_TRUE(recorder_.idle());
    time_.advance(2 * kRefusedRetry);
    EXPECT_TRUE(store_.records.empty());
    EXPECT_EQ(recorder_.unrecorded(), 0u);
}

TEST_F(RecorderTest, ALostSessionKeepsARefusedOutcomeApart) {
    add(1);
    fail(core::ErrorKind::kInternal);
    add(2);
    time_.advance(kRefusedRetry);
    while (ids(store_.records.front().request) != "1 ") commit();
    fail(core::ErrorKind::kUnavailable);
    recorder_.retry_now();
    EXPECT_EQ(ids(fail(core::ErrorKind::kInternal)), "1 ");
    EXPECT_EQ(recorder_.unrecorded(), 1u);
    recorder_.flush_now();
    EXPECT_TRUE(store_.records.empty()) << "not before the pause after a refusal";
    time_.advance(kAfterRefusal);
    EXPECT_EQ(ids(commit()), "1 ") << "the end tries it once more";
}

TEST_F(RecorderTest, AClaimIsFinishedWithTheLastOfItsDeliveries) {
    open_claims_.add(9, 2);
    add(1, 9);
    EXPECT_TRUE(commit().finished.empty());
    add(2, 9);
    EXPECT_EQ(commit().finished, std::vector<core::ClaimId>{9});
    EXPECT_FALSE(open_claims_.holds(9));
}

TEST_F(RecorderTest, ConfirmationsWaitForATransactionAndGoAloneAfterAWhile) {
    recorder_.confirm(4);
    recorder_.confirm(5);
    EXPECT_TRUE(store_.records.empty());
    time_.advance(kConfirmDelay);
    ASSERT_EQ(store_.records.size(), 1u);
    EXPECT_EQ(store_.records.front().request.confirmed_batches, (std::vector<std::int64_t>{4, 5}));
    fail(core::ErrorKind::kUnavailable);
    time_.advance(milliseconds(2000));
    EXPECT_EQ(commit().confirmed_batches, (std::vector<std::int64_t>{4, 5})) << "kept over a failure";
    EXPECT_EQ(forgotten_, (std::vector<std::int64_t>{4, 5}));
    time_.advance(kSmallBatchPause);
    recorder_.confirm(6);
    add(1);
    EXPECT_EQ(commit().confirmed_batches, std::vector<std::int64_t>{6}) << "along with an outcome";
}

TEST_F(RecorderTest, AtTheEndConfirmationsWaitForNoTransactionButForTheEndOfAFailure) {
    recorder_.confirm(4);
    recorder_.flush_now();
    ASSERT_EQ(store_.records.size(), 1u);
    fail(core::ErrorKind::kUnavailable);
    recorder_.flush_now();
    EXPECT_TRUE(store_.records.empty()) << "not as often as it is asked";
    time_.advance(milliseconds(2000));
    EXPECT_EQ(commit().confirmed_batches, std::vector<std::int64_t>{4});
    EXPECT_TRUE(recorder_.idle());
}

// Regression: one locked row cut recording to a tenth, because each batch that held it ran into the lock timeout.
TEST_F(RecorderTest, OutcomesOfLockedRowsWaitInAListOfTheirOwn) {
    add(1);
    add(2);
    add(3);
    commit();
    add(4);
    time_.advance(kSmallBatchPause);
    ASSERT_FALSE(store_.records.empty());
    take_first(store_.records).answer(core::Error{core::ErrorKind::kTimeout, "canceling statement due to lock timeout", "55P03"});
    time_.advance(milliseconds(1));
    ASSERT_EQ(store_.unlocks.size(), 1u) << "which rows are free?";
    EXPECT_EQ(store_.unlocks.front().request, (std::vector<core::MessageId>{2, 3, 4}));
    take_first(store_.unlocks).answer(std::vector<core::MessageId>{2, 4});
    EXPECT_EQ(ids(commit()), "2 4 ") << "the others are not held up, nor tried in smaller batches";
    EXPECT_EQ(observer_.locked, 1u);
    EXPECT_EQ(recorder_.unrecorded(), 1u);
    add(5);
    time_.advance(kSmallBatchPause);
    ASSERT_EQ(store_.unlocks.size(), 1u) << "while one is locked, every batch is looked at first";
    take_first(store_.unlocks).answer(std::vector<core::MessageId>{5});
    EXPECT_EQ(ids(commit()), "5 ");
    time_.advance(kLockedRetry);
    ASSERT_EQ(store_.unlocks.size(), 1u);
    take_first(store_.unlocks).answer(std::vector<core::MessageId>{3});
    EXPECT_EQ(ids(commit()), "3 ");
    add(6);
    EXPECT_EQ(ids(commit()), "6 ") << "nothing is locked any more: no check for locks";
    EXPECT_TRUE(store_.unlocks.empty());
    EXPECT_EQ(recorder_.unrecorded(), 0u);
}

// A reader's finding: when everything that waited was locked, no timer was left that would have tried again, and nothing was
// recorded until the session was new.
TEST_F(RecorderTest, WhereEverythingIsLockedWhatComesNextIsRecorded) {
    add(1);
    take_first(store_.records).answer(core::Error{core::ErrorKind::kTimeout, "canceling statement due to lock timeout", "55P03"});
    time_.advance(milliseconds(1));
    take_first(store_.unlocks).answer(std::vector<core::MessageId>{});
    EXPECT_TRUE(store_.records.empty());
    add(2);
    time_.advance(kSmallBatchPause);
    ASSERT_EQ(store_.unlocks.size(), 1u);
    take_first(store_.unlocks).answer(std::vector<core::MessageId>{2});
    EXPECT_EQ(ids(commit()), "2 ");
    time_.advance(kLockedRetry);
    ASSERT_EQ(store_.unlocks.size(), 1u);
    take_first(store_.unlocks).answer(std::vector<core::MessageId>{1});
    EXPECT_EQ(ids(commit()), "1 ");
}

TEST_F(RecorderTest, ManyLockedRowsDoNotMakeItFull) {
    add_many(1, kMaxUnrecorded + 1);
    EXPECT_TRUE(recorder_.full());
    take_first(store_.records).answer(core::Error{core::ErrorKind::kTimeout, "canceling statement due to lock timeout", "55P03"});
    for (int i = 0; i < 20 && recorder_.full(); ++i) {
        time_.advance(milliseconds(3));
        if (!store_.unlocks.empty()) take_first(store_.unlocks).answer(std::vector<core::MessageId>{});
    }
    EXPECT_FALSE(recorder_.full());
    EXPECT_EQ(recorder_.unrecorded(), kMaxUnrecorded + 1);
}

// Rule 1: no outcome is dropped silently.
TEST_F(RecorderTest, OutcomesThatChangeNothingAreCountedAndReconcileLooksForTheirMessages) {
    core::Outcome refused;
    refused.id = 7;
    refused.claim_id = 70;
    refused.kind = core::OutcomeKind::kRetry;
    recorder_.add(refused);
    add(8);  // delivered, and not newly sent
    RecordResult gone;
    gone.missing = {70};
    take_first(store_.records).answer(gone);
    time_.advance(kSmallBatchPause);
    ASSERT_EQ(store_.records.size(), 1u);
    EXPECT_EQ(store_.records.front().request.suspects, std::vector<core::MessageId>{7});
    take_first(store_.records).answer(RecordResult{});
    EXPECT_EQ(observer_.late_outcomes, 2u);
    time_.advance(kConfirmDelay);
    ASSERT_EQ(store_.records.size(), 1u);
    EXPECT_EQ(store_.records.front().request.suspects, std::vector<core::MessageId>{8});
    fail(core::ErrorKind::kUnavailable);
    time_.advance(milliseconds(100));
    ASSERT_EQ(store_.records.size(), 1u);
    EXPECT_EQ(store_.records.front().request.suspects, std::vector<core::MessageId>{8}) << "they survive a failure";
}

TEST_F(RecorderTest, SaysWhichMessagesItHas) {
    add(1);
    add(2);
    EXPECT_EQ(recorder_.unrecorded_messages(), (std::vector<core::MessageId>{2, 1})) << "also those in a transaction under way";
}

}  // namespace
}  // namespace messaging::engine
