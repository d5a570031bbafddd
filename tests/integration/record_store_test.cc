// Recording outcomes in PostgreSQL: what each kind leaves behind, fencing, and that a repeat does nothing.
#include "engine/record_store.h"

#include <algorithm>

#include "engine/claim_store.h"
#include "support/engine_stores.h"
#include "support/private_postgres.h"
#include "support/stores.h"

namespace messaging::repository {
namespace {

using core::Outcome;
using core::OutcomeKind;
using engine::RecordRequest;
using engine::RecordResult;
using test::Stores;

constexpr core::InstanceId kMe = 11;

class Record : public testing::Test {
protected:
    // Inserts and claims `count` messages; answers the claim. Their generation is 0.
    core::ClaimId claimed(int count) {
        db_.sql(
            "INSERT INTO messages (recipient, content, generation) SELECT '+905551111111', repeat('x', 64), 0 FROM "
            "generate_series(1, " +
            std::to_string(count) + ")");
        engine::ClaimRequest request;
        request.instance_id = kMe;
        request.claim_id = ++last_claim_;
        request.limit = count;
        const auto batch = db_.value<engine::ClaimBatch>([&](auto done) { store_.claim_ready(request, std::move(done)); });
        return batch.deliveries.empty() ? 0 : batch.deliveries[0].claim_id;
    }
    core::Result<RecordResult> try_record(RecordRequest request) {
        request.instance_id = kMe;
        return db_.answer<RecordResult>([&](auto done) { store_.record(request, std::move(done)); });
    }
    static RecordRequest request(std::vector<Outcome> outcomes, std::vector<core::ClaimId> finished = {},
                                 std::vector<std::int64_t> confirmed = {}) {
        RecordRequest one;
        one.outcomes = std::move(outcomes);
        one.finished = std::move(finished);
        one.confirmed_batches = std::move(confirmed);
        return one;
    }
    RecordResult record(std::vector<Outcome> outcomes, std::vector<core::ClaimId> finished = {}) {
        auto result = try_record(request(std::move(outcomes), std::move(finished)));
        EXPECT_TRUE(result.ok()) << (result ? "" : result.error().message);
        return result ? result.value() : RecordResult{};
    }
    static Outcome outcome(core::MessageId id, core::ClaimId claim, OutcomeKind kind, int attempts = 1) {
        Outcome one;
        one.id = id;
        one.claim_id = claim;
        one.kind = kind;
        one.attempts = attempts;
        one.duration = std::chrono::milliseconds(7);
        if (kind == OutcomeKind::kRetry || kind == OutcomeKind::kDeferred) one.delay = std::chrono::seconds(60);
        if (kind == OutcomeKind::kRetry || kind == OutcomeKind::kDead) {
            one.status = 503;
            one.error = "HTTP 503";
        }
        return one;
    }
    std::string queue() { return db_.sql("SELECT id FROM messaging._queue ORDER BY xid, id"); }

    core::ClaimId last_claim_ = 7000;
    Stores db_{test::fresh_database()};
    test::EngineStores store_{db_.open_session(claim_session_settings()), db_.open_session(record_session_settings())};
};

TEST_F(Record, WhatItsEndpointCannotTakeIsMovedToTheHoldWhichTheEndpointIsThenOn) {
    const core::ClaimId claim = claimed(3);
    record({outcome(1, claim, OutcomeKind::kHeld, 0), outcome(2, claim, OutcomeKind::kHeld, 0)});
    EXPECT_EQ(db_.sql("SELECT id, endpoint_id FROM messaging._hold ORDER BY id"), "1|1 2|1");
    EXPECT_EQ(db_.sql("SELECT ids FROM messaging._claim"), "[3]");
    EXPECT_EQ(db_.sql("SELECT state, since > now() - interval '1 minute' FROM messaging._endpoint_state"), "backlogged|true");
    EXPECT_EQ(db_.sql("SELECT count(*) FROM messaging.misplaced()"), "0");
    record({outcome(1, claim, OutcomeKind::kHeld, 0), outcome(2, claim, OutcomeKind::kHeld, 0)});
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._hold"), 2) << "a repeat changes nothing";
    db_.sql("UPDATE messaging._endpoint_state SET state = 'disabled'");
    record({outcome(3, claim, OutcomeKind::kHeld, 0)}, {claim});
    EXPECT_EQ(db_.sql("SELECT state FROM messaging._endpoint_state"), "disabled") << "an operator's word stands";
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._hold"), 3);
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._claim"), 0);
}

TEST_F(Record, ADeliveredMessageIsMarkedAndItsBatchWaitsForItsReceipts) {
    const core::ClaimId claim = claimed(2);
    db_.as_engine("UPDATE messages SET attempts = 2 WHERE id = 1");
    Outcome first = outcome(2, claim, OutcomeKind::kDelivered);
    first.receiver_message_id = "receiver's 🎈";
    const RecordResult result = record({first, outcome(1, claim, OutcomeKind::kDelivered, 3)}, {claim});
    ASSERT_TRUE(result.sent_batch);
    EXPECT_EQ(result.sent, (std::vector<core::MessageId>{1, 2}));
    EXPECT_EQ(db_.sql("SELECT id, is_sent, attempts, receiver_message_id FROM messages ORDER BY id"),
              "1|true|3| 2|true|1|receiver's 🎈");
    EXPECT_EQ(db_.sql("SELECT batch_id, size, ids FROM messaging._sent_batch"), std::to_string(*result.sent_batch) + "|2|[1,2]");
    EXPECT_EQ(db_.sql("SELECT batch_id, instance_id FROM messaging._receipt_backlog"),
              std::to_string(*result.sent_batch) + "|11");
    EXPECT_EQ(db_.number("SELECT count(*) FROM messages WHERE sent_at = '" + result.sent_at + "'"), 2);
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._claim"), 0);
}

TEST_F(Record, DeliveredTwiceIsRecordedOnce) {
    const core::ClaimId claim = claimed(2);
    record({outcome(1, claim, OutcomeKind::kDelivered)});
    const RecordResult again = record({outcome(1, claim, OutcomeKind::kDelivered), outcome(2, claim, OutcomeKind::kDelivered)});
    EXPECT_EQ(again.sent, std::vector<core::MessageId>{2});
    EXPECT_FALSE(record({outcome(2, claim, OutcomeKind::kDelivered)}).sent_batch);
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._sent_batch"), 2);
}

TEST_F(Record, DeliveredIsTrueEvenWhenTheClaimIsGone) {
    const core::ClaimId claim = claimed(1);
    db_.sql("DELETE FROM messaging._claim");
    EXPECT_EQ(record({outcome(1, claim, OutcomeKind::kDelivered)}, {claim}).sent.size(), 1U);
}

TEST_F(Record, ALateDeliveryTakesTheMessageOutOfTheScheduleAndTheDead) {
    const core::ClaimId claim = claimed(2);
    db_.as_engine("UPDATE messages SET attempts = 1");  // by a reclaim, and then more
    db_.as_engine("UPDATE messages SET attempts = 16 WHERE id = 2");
    db_.sql("INSERT INTO messaging._schedule VALUES (1, now())");
    db_.sql("INSERT INTO messaging._dead (id, reason) VALUES (2, 'given up')");
    record({outcome(1, claim, OutcomeKind::kDelivered), outcome(2, claim, OutcomeKind::kDelivered)});
    EXPECT_EQ(db_.number("SELECT (SELECT count(*) FROM messaging._schedule) + (SELECT count(*) FROM messaging._dead)"), 0);
    EXPECT_EQ(db_.sql("SELECT attempts FROM messages ORDER BY id"), "2 17") << "every attempt counts, also a late one";
}

// The answer to the first record was lost; meanwhile the message became due, and was claimed and refused again.
TEST_F(Record, ARepeatThatALaterAttemptHasOvertakenChangesNothing) {
    const core::ClaimId claim = claimed(2);
    record({outcome(1, claim, OutcomeKind::kRetry, 1)});
    db_.sql("DELETE FROM messaging._schedule");
    record({outcome(1, claim, OutcomeKind::kDead, 2)});
    record({outcome(1, claim, OutcomeKind::kRetry, 1)});
    EXPECT_EQ(db_.number("SELECT attempts FROM messages WHERE id = 1"), 2);
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._schedule"), 0);
    EXPECT_EQ(db_.number("SELECT id FROM messaging._dead"), 1);
}

TEST_F(Record, ARetryIsCountedAndScheduledByPostgresClock) {
    const core::ClaimId claim = claimed(1);
    record({outcome(1, claim, OutcomeKind::kRetry)}, {claim});
    EXPECT_EQ(db_.sql("SELECT attempts, is_sent, last_error FROM messages"), "1|false|HTTP 503");
    EXPECT_EQ(
        db_.number("SELECT count(*) FROM messaging._schedule WHERE id = 1 AND due_at BETWEEN now() + '50 s' AND now() + '60 s'"),
        1);
    EXPECT_EQ(db_.sql("SELECT message_id, attempt, status, duration_ms, error FROM messaging._attempt"), "1|1|503|7|HTTP 503");
    EXPECT_EQ(queue(), "");
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._claim"), 0);
}

TEST_F(Record, ADeadMessageIsKeptWithItsReason) {
    const core::ClaimId claim = claimed(1);
    Outcome dead = outcome(1, claim, OutcomeKind::kDead, 16);
    dead.status.reset();
    dead.error = "connection refused";
    record({dead}, {claim});
    EXPECT_EQ(db_.sql("SELECT id, reason FROM messaging._dead"), "1|connection refused");
    EXPECT_EQ(db_.sql("SELECT attempt, status FROM messaging._attempt"), "16|");
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._schedule"), 0);
}

TEST_F(Record, AFailureWhoseAnswerWasLostIsRecordedOnce) {
    const core::ClaimId claim = claimed(2);
    for (int i = 0; i < 2; ++i) record({outcome(1, claim, OutcomeKind::kRetry), outcome(2, claim, OutcomeKind::kDead)});
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._attempt"), 2);
    EXPECT_EQ(db_.sql("SELECT attempts FROM messages ORDER BY id"), "1 1");
}

TEST_F(Record, AFailureOfAClaimThatHasEndedChangesNothingAndIsSaidToBeLate) {
    const core::ClaimId claim = claimed(4);
    db_.sql("UPDATE messaging._claim SET claim_id = 1");  // reclaimed, and claimed again
    const RecordResult result = record({outcome(1, claim, OutcomeKind::kRetry), outcome(2, claim, OutcomeKind::kDead),
                                        outcome(3, claim, OutcomeKind::kDeferred), outcome(4, claim, OutcomeKind::kReleased)},
                                       {claim});
    EXPECT_EQ(result.missing, std::vector<core::ClaimId>{claim});
    EXPECT_EQ(db_.sql("SELECT DISTINCT attempts, coalesce(last_error, '') FROM messages"), "0|");
    EXPECT_EQ(queue(), "");
    EXPECT_EQ(db_.number("SELECT (SELECT count(*) FROM messaging._schedule) + (SELECT count(*) FROM messaging._dead)"), 0);
    EXPECT_EQ(db_.sql("SELECT ids FROM messaging._claim"), "[1,2,3,4]");
}

// Even if the engine is wrong, nothing is lost.
TEST_F(Record, AClaimWithAnOpenMessageDoesNotEnd) {
    const core::ClaimId claim = claimed(3);
    const RecordResult result =
        record({outcome(1, claim, OutcomeKind::kDelivered), outcome(3, claim, OutcomeKind::kRetry)}, {claim});
    ASSERT_EQ(result.kept.size(), 1U);
    EXPECT_EQ(result.kept[0].claim_id, claim);
    EXPECT_EQ(result.kept[0].id, 2);
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._claim"), 1);
    EXPECT_TRUE(record({outcome(2, claim, OutcomeKind::kDelivered)}, {claim}).kept.empty());
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._claim"), 0);
}

// Regression: an id that comes again is another message.
TEST_F(Record, SentDoesNotCountForAnotherMessageWithTheSameId) {
    const core::ClaimId claim = claimed(1);
    db_.sql("TRUNCATE messages RESTART IDENTITY");
    db_.sql("INSERT INTO messages (recipient, content, generation) VALUES ('+1', 'another one', 128)");
    EXPECT_FALSE(record({outcome(1, claim, OutcomeKind::kDelivered)}, {claim}).sent_batch);
    EXPECT_EQ(db_.sql("SELECT id, is_sent FROM messages"), "1|false");
    EXPECT_EQ(queue(), "1");
}

// Regression: the record has committed, its answer was lost, an operator sends again, and the recorder repeats.
TEST_F(Record, ARepeatedRecordDoesNotUndoASendAgain) {
    const core::ClaimId claim = claimed(2);
    const std::vector<Outcome> outcomes{outcome(1, claim, OutcomeKind::kDelivered), outcome(2, claim, OutcomeKind::kRetry)};
    record(outcomes, {claim});
    db_.sql("UPDATE messages SET is_sent = false");
    EXPECT_EQ(db_.sql("SELECT id, generation, attempts FROM messages ORDER BY id"), "1|1|0 2|1|0");
    EXPECT_FALSE(record(outcomes, {claim}).sent_batch);
    EXPECT_EQ(queue(), "1 2");
    EXPECT_EQ(db_.sql("SELECT DISTINCT is_sent, attempts FROM messages"), "false|0");
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._schedule"), 0);
}

TEST_F(Record, NotesTheMessagesThatReconcileIsToLookFor) {
    RecordRequest suspects;
    suspects.suspects = {4, 9};
    ASSERT_TRUE(try_record(suspects).ok());
    EXPECT_EQ(db_.sql("SELECT id FROM messaging._suspect ORDER BY id"), "4 9");
}

// Regression: one row that somebody had locked cut recording to a tenth.
TEST_F(Record, TellsWhichRowsAreFree) {
    claimed(4);
    db_.sql("DELETE FROM messages WHERE id = 4");
    pg::Session editor = test::connect_or_abort(db_.url());
    ASSERT_TRUE(editor.execute_script("BEGIN; UPDATE messages SET content = 'edited' WHERE id = 2"));
    const auto unlocked = [&] {
        auto ids = db_.value<std::vector<core::MessageId>>([&](auto done) {
            store_.find_unlocked({1, 2, 3, 4}, std::move(done));
        });
        std::sort(ids.begin(), ids.end());
        return ids;
    };
    EXPECT_EQ(unlocked(), (std::vector<core::MessageId>{1, 3, 4})) << "4 is gone, and hinders nobody";
    const auto refused = try_record(request({outcome(2, 1, OutcomeKind::kDelivered)}));
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().sqlstate, "55P03");
    ASSERT_TRUE(editor.execute_script("ROLLBACK"));
    EXPECT_EQ(unlocked().size(), 4U);
}

TEST_F(Record, WhatWasNotTriedIsNotCountedAndLeavesTheLedger) {
    const core::ClaimId claim = claimed(3);
    record({outcome(1, claim, OutcomeKind::kDeferred, 0), outcome(2, claim, OutcomeKind::kReleased, 0)});
    EXPECT_EQ(queue(), "2");
    EXPECT_EQ(db_.sql("SELECT id FROM messaging._schedule"), "1");
    EXPECT_EQ(db_.sql("SELECT DISTINCT attempts FROM messages"), "0");
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._attempt"), 0);
    EXPECT_EQ(db_.sql("SELECT ids, attempts, generations FROM messaging._claim"), "[3]|[0]|[0]");
}

// A repeat of a record whose answer was lost once queued the message a second time.
TEST_F(Record, ARowThatATriggerKeepsUnchangedIsNamedAndCanBeGivenUp) {
    const core::ClaimId claim = claimed(3);
    db_.sql("CREATE FUNCTION keep_row() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'");
    db_.sql("CREATE TRIGGER keep BEFORE UPDATE ON messages FOR EACH ROW WHEN (old.id <> 2) EXECUTE FUNCTION keep_row()");
    const RecordResult result = record({outcome(1, claim, OutcomeKind::kDelivered), outcome(2, claim, OutcomeKind::kDelivered),
                                        outcome(3, claim, OutcomeKind::kRetry)},
                                       {claim});
    ASSERT_EQ(result.kept.size(), 2U);
    EXPECT_EQ(result.kept[0].claim_id, claim);
    EXPECT_EQ(result.kept[0].id + result.kept[1].id, 1 + 3);
    Outcome first = outcome(1, claim, OutcomeKind::kGivenUp, 0);
    first.error = "accepted, but …";
    Outcome third = outcome(3, claim, OutcomeKind::kGivenUp, 0);
    third.error = "failed, and …";
    record({first, third}, {claim});
    EXPECT_EQ(db_.sql("SELECT id, reason FROM messaging._dead ORDER BY id"), "1|accepted, but … 3|failed, and …");
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._claim"), 0);
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging.misplaced()"), 0);
    record({first, third}, {claim});
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._dead"), 2) << "a repeat changes nothing";
}

// A reader's finding: the message was scheduled and dead at once, and was sent for ever.
TEST_F(Record, ARowThatATriggerPutsBackIsNeitherSentNorScheduled) {
    const core::ClaimId claim = claimed(2);
    db_.sql("CREATE FUNCTION put_back() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'");
    db_.sql("CREATE TRIGGER put_back BEFORE UPDATE ON messages FOR EACH ROW EXECUTE FUNCTION put_back()");
    const RecordResult result =
        record({outcome(1, claim, OutcomeKind::kDelivered), outcome(2, claim, OutcomeKind::kRetry)}, {claim});
    EXPECT_TRUE(result.sent.empty());
    EXPECT_EQ(result.failed, 0U);
    EXPECT_EQ(result.kept.size(), 2U);
    EXPECT_EQ(db_.number("SELECT (SELECT count(*) FROM messaging._schedule) + (SELECT count(*) FROM messaging._sent_batch) + "
                         "(SELECT count(*) FROM messaging._attempt)"),
              0);
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging.misplaced()"), 0);
}

// A reader's finding: the re-sent message was in no place, because the triggers took the nested UPDATE for the engine's own.
TEST_F(Record, WhatAnApplicationsTriggerSendsAgainDuringARecordIsQueued) {
    record({outcome(1, claimed(1), OutcomeKind::kDelivered)});
    db_.sql(
        "CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN UPDATE public.messages SET is_sent = false WHERE id "
        "= 1; "
        "RETURN NULL; END'");
    db_.sql(
        "CREATE TRIGGER again AFTER UPDATE ON messages FOR EACH ROW WHEN (new.id = 2 AND new.is_sent) EXECUTE FUNCTION again()");
    record({outcome(2, claimed(1), OutcomeKind::kDelivered)});
    EXPECT_EQ(db_.sql("SELECT id, is_sent, generation FROM messages ORDER BY id"), "1|false|1 2|true|0");
    EXPECT_EQ(queue(), "1");
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging.misplaced()"), 0);
}

TEST_F(Record, CountsTheFailuresThatHaveChangedTheirRows) {
    const core::ClaimId claim = claimed(3);
    db_.sql("DELETE FROM messages WHERE id = 3");
    EXPECT_EQ(record({outcome(1, claim, OutcomeKind::kRetry), outcome(2, claim, OutcomeKind::kDead),
                      outcome(3, claim, OutcomeKind::kRetry)})
                  .failed,
              2U);
}

TEST_F(Record, WhatWasReleasedIsNotQueuedAgainByARepeat) {
    const core::ClaimId claim = claimed(3);
    for (int i = 0; i < 2; ++i) {
        record({outcome(1, claim, OutcomeKind::kDeferred, 0), outcome(2, claim, OutcomeKind::kReleased, 0)});
        db_.sql("DELETE FROM messaging._schedule");  // as if claimed meanwhile
    }
    EXPECT_EQ(queue(), "2");
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._schedule"), 0);
}

TEST_F(Record, EverythingOfABatchIsRecordedOrNothing) {
    const core::ClaimId claim = claimed(2);
    Outcome broken = outcome(2, claim, OutcomeKind::kDelivered);
    broken.receiver_message_id = "\xff";  // not UTF-8
    const auto result = try_record(request({outcome(1, claim, OutcomeKind::kRetry), broken}, {claim}));
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.error().kind, core::ErrorKind::kInvalid);
    EXPECT_EQ(db_.sql("SELECT DISTINCT attempts, is_sent FROM messages"), "0|false");
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._claim"), 1);
    EXPECT_EQ(record({outcome(1, claim, OutcomeKind::kRetry), outcome(2, claim, OutcomeKind::kDelivered)}, {claim}).sent.size(),
              1U);
}

TEST_F(Record, AnErrorTextIsCutAndCleanedBecauseItMustNeverStopTheRecord) {
    const core::ClaimId claim = claimed(1);
    Outcome failed = outcome(1, claim, OutcomeKind::kRetry);
    failed.error = std::string("a\0b\xff", 4) + std::string(10000, 'x');
    record({failed}, {claim});
    EXPECT_LE(db_.number("SELECT octet_length(last_error) FROM messages"), 500);
    EXPECT_EQ(db_.number("SELECT attempts FROM messages"), 1);
}

TEST_F(Record, AMessageDeletedMeanwhileIsSimplyGone) {
    const core::ClaimId claim = claimed(3);
    db_.sql("DELETE FROM messages");
    const RecordResult result = record({outcome(1, claim, OutcomeKind::kDelivered), outcome(2, claim, OutcomeKind::kRetry),
                                        outcome(3, claim, OutcomeKind::kDead)},
                                       {claim});
    EXPECT_FALSE(result.sent_batch);
    EXPECT_EQ(db_.number("SELECT (SELECT count(*) FROM messaging._schedule) + (SELECT count(*) FROM messaging._dead) + "
                         "(SELECT count(*) FROM messaging._attempt) + (SELECT count(*) FROM messaging._claim)"),
              0);
}

TEST_F(Record, ConfirmedReceiptsLeaveTheBacklog) {
    const core::ClaimId claim = claimed(2);
    const auto first = record({outcome(1, claim, OutcomeKind::kDelivered)}).sent_batch;
    const auto second = record({outcome(2, claim, OutcomeKind::kDelivered)}).sent_batch;
    ASSERT_TRUE(first && second);
    ASSERT_TRUE(try_record(request({}, {}, {*first})).ok());
    EXPECT_EQ(db_.number("SELECT batch_id FROM messaging._receipt_backlog"), *second);
}

TEST_F(Record, AnEmptyRecordSucceeds) { EXPECT_FALSE(record({}).sent_batch); }

// An index that mentions a column of the update would make it none at all, and a full page some.
TEST_F(Record, MarkingSentIsAHotUpdate) {
    constexpr int kMessages = 1000;
    const core::ClaimId claim = claimed(kMessages);
    std::vector<Outcome> outcomes;
    for (int id = 1; id <= kMessages; ++id) {
        outcomes.push_back(outcome(id, claim, OutcomeKind::kDelivered));
        outcomes.back().receiver_message_id = "67f2f8a8-ea58-4ed0-a6f9-ff217df4d849";
    }
    record(outcomes, {claim});
    db_.close_sessions();  // which flushes their statistics
    ASSERT_TRUE(
        test::wait_until([&] { return db_.number("SELECT pg_stat_get_tuples_updated('messages'::regclass)") >= kMessages; }));
    EXPECT_GE(db_.number("SELECT pg_stat_get_tuples_hot_updated('messages'::regclass)"), kMessages * 98 / 100);
}

}  // namespace
}  // namespace messaging::repository
