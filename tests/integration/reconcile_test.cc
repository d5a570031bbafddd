// Reconcile in PostgreSQL: a message that is unsent and in no place is queued once, whatever has put it there, and nothing else
// ever is.
#include "engine/reconcile_store.h"
#include "repository/instance_store.h"
#include "repository/reconcile_store.h"
#include "support/one_engine.h"
#include "support/private_postgres.h"
#include "support/stores.h"
#include "support/two_phase.h"

namespace messaging::repository {
namespace {

using engine::ReconcileRound;
using test::OneEngine;
using test::Stores;

constexpr int kAllRows = 1'000'000;
constexpr int kNewest = 20'000;  // what the read of the newest rows covers

class Reconcile : public testing::Test {
protected:
    static void SetUpTestSuite() { test::allow_prepared_transactions(); }

    ReconcileRound round(int max_rows = kAllRows) {
        return db_.value<ReconcileRound>([&](auto done) { store_.reconcile(max_rows, std::move(done)); });
    }
    // As if its time had come. `other` is far off meanwhile.
    void make_due(const std::string& mark, const std::string& other) {
        db_.sql("UPDATE messaging._reconcile SET next_" + mark + " = now(), next_" + other + " = now() + interval '1 hour'");
    }
    // A read of the newest rows, and nothing else.
    std::size_t look_at_newest() {
        make_due("tail", "round");
        return round().found;
    }
    // The walk goes on by as many rows, and nothing else is looked at.
    std::size_t walk(int max_rows = kAllRows) {
        make_due("round", "tail");
        return round(max_rows).found;
    }
    void never_due() {
        db_.sql("UPDATE messaging._reconcile SET next_round = now() + interval '1 h', next_tail = now() + interval '1 h'");
    }

    static std::string insert(int count, const std::string& sent = "false") {
        return "INSERT INTO messages (recipient, content, is_sent) SELECT 'a', 'b', " + sent + " FROM generate_series(1, " +
               std::to_string(count) + "); ";
    }
    void run(pg::Session& session, const std::string& sql) {
        const auto done = session.execute_script(sql);
        ASSERT_TRUE(done.ok()) << done.error().message;
    }
    // As replication's apply and pg_restore --disable-triggers write.
    void past_the_triggers(const std::string& sql) {
        pg::Session replica = test::connect_or_abort(db_.url());
        run(replica, "SET session_replication_role = replica; " + sql);
    }
    void insert_past_the_triggers(int count) { past_the_triggers(insert(count)); }
    static std::string with_id(const std::string& id) {
        return "INSERT INTO messages (id, recipient, content) OVERRIDING SYSTEM VALUE VALUES (" + id + ", 'a', 'b'); ";
    }
    // More than the read of the newest rows covers, all of them sent.
    void bury() { db_.sql(insert(kNewest, "true")); }
    std::string queue() { return db_.sql("SELECT id FROM messaging._queue ORDER BY id"); }
    std::string misplaced() { return db_.sql("SELECT id, is_sent, places FROM messaging.misplaced() ORDER BY id"); }

    Stores db_{test::fresh_database()};
    PgReconcileStore store_{db_.open_session(reconcile_session_settings())};
};

TEST_F(Reconcile, QueuesAtOnceWhatCamePastTheTriggerAndOnlyOnce) {
    db_.sql(insert(2));
    insert_past_the_triggers(3);
    EXPECT_EQ(misplaced(), "3|false|[] 4|false|[] 5|false|[]");
    EXPECT_EQ(look_at_newest(), 3u);
    EXPECT_EQ(queue(), "1 2 3 4 5");
    EXPECT_EQ(misplaced(), "");
    EXPECT_EQ(look_at_newest() + walk(), 0u);
    EXPECT_EQ(queue(), "1 2 3 4 5");
}

TEST_F(Reconcile, WakesTheEnginesForWhatItHasFound) {
    PgInstanceStore instances(db_.open_session(listen_session_settings()));
    db_.value<core::InstanceId>([&](auto done) { instances.register_instance("listener", "", std::move(done)); });
    look_at_newest();
    // What was sent before it would have been received with its answer.
    db_.value<bool>([&](auto done) { instances.read_state(std::move(done)); });
    EXPECT_TRUE(db_.notified().empty()) << "a round that finds nothing wakes no engine";
    insert_past_the_triggers(1);
    EXPECT_EQ(look_at_newest(), 1u);
    EXPECT_TRUE(test::run_until(db_.loop(), [&] { return !db_.notified().empty(); }));
}

TEST_F(Reconcile, ATriggerThatWasDisabledForAWhileLosesNothing) {
    db_.sql("ALTER TABLE messages DISABLE TRIGGER messaging_insert");
    db_.sql(insert(2));
    db_.sql("ALTER TABLE messages ENABLE TRIGGER messaging_insert");
    db_.sql(insert(1));
    EXPECT_EQ(look_at_newest(), 2u);
    EXPECT_EQ(queue(), "1 2 3");
}

// Replication applies in the order of commits: the lower id comes later.
TEST_F(Reconcile, FindsAReplicatedRowThatComesAfterOneWithAHigherId) {
    past_the_triggers(with_id("1000"));
    EXPECT_EQ(look_at_newest(), 1u);
    EXPECT_EQ(walk(), 0u);
    past_the_triggers(with_id("999"));
    EXPECT_EQ(look_at_newest(), 1u);
    past_the_triggers(with_id("998"));
    EXPECT_EQ(walk(), 1u) << "the walk finds it as well";
    EXPECT_EQ(queue(), "998 999 1000");
}

TEST_F(Reconcile, FindsWhatAPreparedTransactionHasInsertedOnceItIsCommitted) {
    pg::Session application = test::connect_or_abort(db_.url());
    run(application, "BEGIN; SET LOCAL session_replication_role = replica; " + insert(1) + "PREPARE TRANSACTION 'p'");
    db_.sql(insert(1));
    EXPECT_EQ(look_at_newest() + walk(), 0u);
    run(application, "COMMIT PREPARED 'p'");
    EXPECT_EQ(look_at_newest(), 1u);
    EXPECT_EQ(queue(), "1 2");
}

TEST_F(Reconcile, AHugeIdHidesNothing) {
    past_the_triggers(with_id("9223372036854775807"));
    EXPECT_EQ(look_at_newest(), 1u);
    EXPECT_EQ(walk(), 0u);
    insert_past_the_triggers(1);
    EXPECT_EQ(look_at_newest(), 1u);
    insert_past_the_triggers(1);
    EXPECT_EQ(walk(), 1u);
    EXPECT_EQ(walk(1) + walk(1) + walk(1) + walk(1), 0u);
    EXPECT_EQ(queue(), "1 2 9223372036854775807");
}

TEST_F(Reconcile, TheWalkFindsARestoredRowBeyondTheNewest) {
    db_.sql(insert(3, "true"));
    bury();
    EXPECT_EQ(look_at_newest() + walk(), 0u);
    past_the_triggers("DELETE FROM messages WHERE id = 2; " + with_id("2"));
    EXPECT_EQ(look_at_newest(), 0u) << "beyond its reach";
    EXPECT_EQ(walk(), 1u);
    EXPECT_EQ(queue(), "2");
}

TEST_F(Reconcile, TheWalkFindsAnOldMessageThatWasMadeUnsentPastTheTriggers) {
    db_.sql(insert(1, "true"));
    bury();
    EXPECT_EQ(walk(), 0u);
    past_the_triggers("UPDATE messages SET is_sent = false WHERE id = 1");
    EXPECT_EQ(walk(), 1u);
    EXPECT_EQ(queue(), "1");
}

// The name sorts behind our own trigger, so that its decision comes too late for us.
TEST_F(Reconcile, FindsWhatAnApplicationsLastTriggerHasMadeUnsent) {
    db_.sql(insert(1, "true"));
    db_.sql("CREATE FUNCTION edited() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.is_sent := false; RETURN NEW; END'");
    db_.sql("CREATE TRIGGER zzz_edited BEFORE UPDATE OF content ON messages FOR EACH ROW EXECUTE FUNCTION edited()");
    db_.sql("UPDATE messages SET content = 'c'");
    EXPECT_EQ(queue(), "");
    EXPECT_EQ(look_at_newest(), 1u);
    EXPECT_EQ(queue(), "1");
}

// A clock that was ahead for one round had moved the marks into the future, and nothing was looked at until then.
TEST_F(Reconcile, AMessageThatIsSentLeavesTheDeadLetters) {
    db_.sql("INSERT INTO messages (recipient, content, is_sent) VALUES ('+1', 'x', true), ('+1', 'x', false)");
    db_.sql("DELETE FROM messaging._queue");
    db_.sql("INSERT INTO messaging._dead (id, reason) VALUES (1, 'no such endpoint'), (2, 'no such endpoint')");
    db_.sql("SELECT messaging._reconcile_round(100)");
    EXPECT_EQ(db_.sql("SELECT id FROM messaging._dead"), "2");
}

TEST_F(Reconcile, TheWalkTakesSentMessagesFromTheDeadLettersAndTheHold) {
    db_.sql(insert(3, "true"));
    db_.sql(insert(2002));
    db_.sql("DELETE FROM messaging._queue");
    db_.sql(
        "INSERT INTO messaging._dead (id, reason, failed_at) SELECT id, 'cancelled', 'epoch' FROM messages WHERE id IN (1, 2, "
        "4)");
    db_.sql("INSERT INTO messaging._dead (id, reason) SELECT id, 'HTTP 500' FROM messages WHERE id > 5");
    db_.sql("INSERT INTO messaging._hold (id, endpoint_id) VALUES (3, 1), (5, 1)");
    db_.sql("UPDATE messaging._endpoint_state SET state = 'disabled'");
    look_at_newest();
    EXPECT_EQ(misplaced(), "1|true|[\"dead\"] 2|true|[\"dead\"] 3|true|[\"hold\"]")
        << "more dead letters are newer than the quick look reads";
    EXPECT_EQ(walk(2), 0u);
    EXPECT_EQ(misplaced(), "3|true|[\"hold\"]") << "as far as it has come";
    EXPECT_EQ(walk(), 0u);
    EXPECT_EQ(misplaced(), "");
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._dead"), 2001);
}

TEST_F(Reconcile, ItsOwnRowComesBackWhenItWasDeleted) {
    db_.sql("DELETE FROM messaging._reconcile");
    db_.sql("SELECT messaging._reconcile_round(100)");
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._reconcile"), 1);
}

TEST_F(Reconcile, AMarkInTheFutureDoesNotSwitchItOff) {
    db_.sql("UPDATE messaging._reconcile SET next_tail = now() + interval '1 year', next_round = now() + interval '1 year'");
    db_.sql("SELECT messaging._reconcile_round(10)");
    EXPECT_EQ(
        db_.sql("SELECT next_tail <= now() + interval '16 s', next_round <= now() + interval '61 min' FROM messaging._reconcile"),
        "true|true");
}

TEST_F(Reconcile, LeavesAloneWhatIsInAPlace) {
    db_.sql(insert(7));
    OneEngine engine(db_);
    engine.claim(2);
    db_.sql("DELETE FROM messaging._queue WHERE id IN (3, 4, 5, 6)");
    db_.sql("INSERT INTO messaging._schedule VALUES (3, now() + interval '1 hour')");
    db_.sql("INSERT INTO messaging._dead (id, reason) VALUES (4, 'HTTP 500')");
    db_.sql("INSERT INTO messaging._hold VALUES (5, 1)");
    db_.sql("UPDATE messaging._endpoint_state SET state = 'backlogged'");
    db_.sql("UPDATE messages SET is_sent = true WHERE id = 6");
    EXPECT_EQ(misplaced(), "");
    db_.sql("INSERT INTO messaging._suspect SELECT id FROM messages");
    EXPECT_EQ(look_at_newest() + walk(), 0u);
    EXPECT_EQ(queue(), "7");
}

// Its attempts have moved on, so that the ledger's entry makes it no place; but whoever holds the claim may be about to record
// it.
TEST_F(Reconcile, LeavesAMessageThatALiveClaimHasYetToResolve) {
    db_.sql(insert(2));
    OneEngine engine(db_);
    const auto claimed = engine.claim();
    EXPECT_EQ(misplaced(), "");
    EXPECT_EQ(look_at_newest() + walk(), 0u);
    engine.record({claimed[0], claimed[1]}, core::OutcomeKind::kDelivered);
    EXPECT_EQ(look_at_newest() + walk(), 0u);
    EXPECT_EQ(queue(), "");
}

// A claim stays open while one of its outcomes is refused. What it had resolved and something made unsent since was hidden by it.
TEST_F(Reconcile, FindsAMessageThatAnOpenClaimHasResolvedBefore) {
    insert_past_the_triggers(3);
    db_.sql("INSERT INTO messaging._instance (instance_id, name) OVERRIDING SYSTEM VALUE VALUES (9, 'x')");
    db_.sql(
        "INSERT INTO messaging._claim (claim_id, instance_id, ids, attempts, generations) SELECT 5, 9, array_agg(id ORDER BY "
        "id), "
        "array_agg(attempts ORDER BY id), array_agg(generation ORDER BY id) FROM messages");
    past_the_triggers(
        "UPDATE messages SET attempts = attempts + 1 WHERE id = 2; UPDATE messages SET generation = generation + 1 WHERE id = 3");
    EXPECT_EQ(misplaced(), "2|false|[] 3|false|[]");
    EXPECT_EQ(look_at_newest(), 2u);
    EXPECT_EQ(queue(), "2 3");
}

TEST_F(Reconcile, ChecksSuspectsByNameInEachRound) {
    db_.sql(insert(1, "true"));
    bury();
    insert_past_the_triggers(1);
    past_the_triggers("UPDATE messages SET is_sent = false WHERE id = 1");
    db_.sql("INSERT INTO messaging._suspect VALUES (1), (1), (5), (777777)");
    never_due();
    EXPECT_EQ(round().found, 1u) << "and neither the newest rows nor the walk";
    EXPECT_EQ(queue(), "1");
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._suspect"), 0);
    EXPECT_EQ(round().found, 0u);
}

TEST_F(Reconcile, TwoSessionsAtATimeDoNotQueueTwice) {
    insert_past_the_triggers(2);
    pg::Session other = test::connect_or_abort(db_.url());
    run(other, "BEGIN; SELECT messaging._reconcile_round(1000)");
    const ReconcileRound mine = round();
    EXPECT_EQ(mine.found, 0u);
    EXPECT_GE(mine.wait, std::chrono::milliseconds(100)) << "it does not spin while another one is at work";
    run(other, "COMMIT");
    EXPECT_EQ(look_at_newest() + walk(), 0u);
    EXPECT_EQ(queue(), "1 2");
}

TEST_F(Reconcile, WalksABoundedNumberOfRowsInARoundAndBeginsAgainAtTheEnd) {
    insert_past_the_triggers(10);
    EXPECT_EQ(walk(4), 4u);
    EXPECT_EQ(db_.sql("SELECT walked_to, walk_took FROM messaging._reconcile"), "4|");
    EXPECT_EQ(walk(4), 4u);
    EXPECT_EQ(walk(4), 2u);
    EXPECT_EQ(db_.sql("SELECT walked_to, walk_took IS NOT NULL FROM messaging._reconcile"), "0|true");
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._queue"), 10);
    EXPECT_EQ(walk(4), 0u) << "from the beginning again";
    EXPECT_EQ(db_.sql("SELECT walked_to FROM messaging._reconcile"), "4");
}

TEST_F(Reconcile, KeepsToItsPace) {
    db_.sql(insert(10, "true"));
    ReconcileRound first = round(4);
    EXPECT_LE(first.wait, std::chrono::seconds(5)) << "a walk that is under way goes on after a rest";
    EXPECT_EQ(db_.sql("SELECT next_tail BETWEEN now() + interval '10 s' AND now() + interval '15 s', next_round BETWEEN now() - "
                      "interval '1 s' AND now() + interval '5 s' "
                      "FROM messaging._reconcile"),
              "true|true");
    walk(4);
    walk(4);
    EXPECT_EQ(db_.sql("SELECT next_round = walk_began + interval '5 minutes' FROM messaging._reconcile"), "true")
        << "a new walk begins five minutes after the last one at the earliest";
    never_due();
    insert_past_the_triggers(1);
    const ReconcileRound early = round();
    EXPECT_EQ(early.found, 0u) << "nothing is read before its time";
    EXPECT_GT(early.wait, std::chrono::seconds(10));
    db_.sql("UPDATE messaging._reconcile SET walk_began = now() - interval '1 h'");
    EXPECT_EQ(look_at_newest(), 1u);
    EXPECT_EQ(db_.sql("SELECT walk_began > now() - interval '1 min' FROM messaging._reconcile"), "true")
        << "where one was lost there may be more: a walk begins";
}

TEST_F(Reconcile, TellsHowLongAWalkTook) {
    db_.sql(insert(10, "true"));
    EXPECT_FALSE(round(4).walk.has_value());
    db_.sql("UPDATE messaging._reconcile SET walk_began = now() - interval '90 seconds'");
    make_due("round", "tail");
    const ReconcileRound last = round();
    ASSERT_TRUE(last.walk.has_value());
    EXPECT_NEAR(static_cast<double>(last.walk->count()), 91, 2);
}

TEST_F(Reconcile, MisplacedTellsTheLostTheDoubledAndTheSentThatStillWait) {
    db_.sql(insert(6));
    OneEngine engine(db_);
    engine.claim(1);
    db_.sql("DELETE FROM messaging._queue WHERE id = 2");
    db_.sql("INSERT INTO messaging._schedule VALUES (3, now()), (1, now())");
    past_the_triggers("UPDATE messages SET is_sent = true WHERE id IN (4, 5)");
    db_.sql("INSERT INTO messaging._dead (id, reason) VALUES (5, 'x')");
    db_.sql(
        "INSERT INTO messaging._claim VALUES (1, 12, '{6}', '{0}', ARRAY(SELECT generation FROM messages WHERE id = 6)),"
        " (2, 12, '{6}', '{0}', ARRAY(SELECT generation FROM messages WHERE id = 6))");
    db_.sql("DELETE FROM messaging._queue WHERE id = 6");
    EXPECT_EQ(misplaced(),
              "1|false|[\"claim\",\"schedule\"] 2|false|[] 3|false|[\"queue\",\"schedule\"] 4|true|[\"queue\"] "
              "5|true|[\"dead\",\"queue\"] 6|false|[\"claim\",\"claim\"]");
}

// An UPDATE that was open when a claim read the row: the message was held for the endpoint that it no longer has.
TEST_F(Reconcile, FindsWhatIsHeldForAnotherEndpointThanItsOwn) {
    db_.sql("INSERT INTO messaging.endpoints (name, url) VALUES ('second', 'http://b/')");
    db_.sql("UPDATE messaging._endpoint_state SET state = 'backlogged' WHERE endpoint_id = 2");
    db_.sql(insert(2));
    db_.sql("UPDATE messages SET endpoint_id = 2 WHERE id = 2");
    db_.sql("DELETE FROM messaging._queue");
    db_.sql("INSERT INTO messaging._hold VALUES (1, 2), (2, 2)");
    EXPECT_EQ(look_at_newest(), 1u);
    EXPECT_EQ(queue(), "1");
    EXPECT_EQ(db_.sql("SELECT id FROM messaging._hold"), "2");
}

// An operator's open transaction stopped all of reconcile: each round waited for it in vain.
TEST_F(Reconcile, WaitsForNoRowThatAnotherTransactionHasLocked) {
    db_.sql("INSERT INTO messaging.endpoints (name, url) VALUES ('second', 'http://b/')");
    db_.sql("UPDATE messaging._endpoint_state SET state = 'backlogged' WHERE endpoint_id = 2");
    db_.sql(insert(6));
    db_.sql("DELETE FROM messaging._queue");
    db_.sql("INSERT INTO messaging._hold VALUES (1, 77), (2, 77), (3, 2), (4, 2)");  // strays, and held for another one
    db_.sql("UPDATE messages SET is_sent = true WHERE id = 5");
    past_the_triggers("INSERT INTO messaging._dead (id, reason) VALUES (5, 'x')");
    pg::Session other = test::connect_or_abort(db_.url());
    ASSERT_TRUE(other.execute_script(
        "BEGIN; SELECT * FROM messaging._hold WHERE id IN (1, 3) FOR UPDATE; SELECT * FROM messaging._dead FOR UPDATE"));
    look_at_newest();
    EXPECT_EQ(queue(), "2 4 6") << "what is not locked";
    EXPECT_EQ(db_.sql("SELECT id FROM messaging._hold ORDER BY id"), "1 3");
    ASSERT_TRUE(other.execute_script("COMMIT"));
    look_at_newest();
    EXPECT_EQ(queue(), "1 2 3 4 6");
    EXPECT_EQ(db_.sql("SELECT id FROM messaging._hold"), "");
    EXPECT_EQ(db_.sql("SELECT id FROM messaging._dead"), "");
}

// 12 million in one statement took longer than it may, and reconcile did nothing else any more.
TEST_F(Reconcile, ManyMessagesOnHoldForADeletedEndpointReturnByAndBy) {
    past_the_triggers("INSERT INTO messaging._hold SELECT g, 77 FROM generate_series(1, 120000) g");
    look_at_newest();
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._hold"), 70000);
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._reconcile WHERE next_tail < now() + interval '2 s'"), 1)
        << "soon again";
    look_at_newest();
    look_at_newest();
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._hold"), 0);
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._queue"), 120000);
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._reconcile WHERE next_tail < now() + interval '2 s'"), 0);
}

TEST_F(Reconcile, TheLookAtTheNewestRowsDoesNotGrowWithTheArchive) {
    db_.sql(insert(100'000, "true"));
    db_.sql("VACUUM ANALYZE messages");
    pg::Session measuring = test::connect_or_abort(db_.url());
    make_due("tail", "round");
    run(measuring, "SET jit = off; SELECT messaging._reconcile_round(1000)");
    make_due("tail", "round");
    const auto plan = measuring.execute("EXPLAIN (ANALYZE, BUFFERS) SELECT messaging._reconcile_round(1000)");
    ASSERT_TRUE(plan.ok());
    std::string text;
    for (int row = 0; row < plan->size(); ++row) text += plan->text(row, 0);
    const std::string key = "shared hit=";
    const auto at = text.find(key);
    ASSERT_NE(at, std::string::npos) << text;
    EXPECT_LT(std::stol(text.substr(at + key.size())), db_.number("SELECT relpages FROM pg_class WHERE relname = 'messages'") / 3)
        << "pages";
}

}  // namespace
}  // namespace messaging::repository
