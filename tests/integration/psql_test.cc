// What lands in the queue when people use SQL: the triggers, the doorbell, and the rights of an application's role.
#include "engine/doorbell_store.h"
#include "repository/doorbell_store.h"
#include "repository/instance_store.h"
#include "support/one_engine.h"
#include "support/private_postgres.h"
#include "support/stores.h"
#include "support/two_phase.h"

namespace messaging::repository {
namespace {

using test::Stores;

class Psql : public testing::Test {
protected:
    static void SetUpTestSuite() { test::allow_prepared_transactions(); }

    std::string queue() { return db_.sql("SELECT id FROM messaging._queue ORDER BY xid, id"); }
    std::int64_t queued() { return db_.number("SELECT count(*) FROM messaging._queue"); }
    std::string misplaced() { return db_.sql("SELECT id, places FROM messaging.misplaced() ORDER BY id"); }
    std::string generation() { return db_.sql("SELECT generation FROM messages WHERE id = 1"); }
    // Out of the queue, into one of the other places.
    void put_into(const std::string& place) {
        db_.sql("DELETE FROM messaging._queue");
        if (place == "schedule") db_.sql("INSERT INTO messaging._schedule SELECT id, now() + interval '1 h' FROM messages");
        if (place == "hold") db_.sql("INSERT INTO messaging._hold SELECT id, endpoint_id FROM messages");
        if (place == "dead") db_.sql("INSERT INTO messaging._dead (id, reason) SELECT id, 'HTTP 500' FROM messages");
    }
    // Another application's session; what it sends must succeed.
    void run(pg::Session& session, const std::string& script) {
        const auto result = session.execute_script(script);
        EXPECT_TRUE(result.ok()) << script << ": " << (result ? "" : result.error().message);
    }

    // An engine that listens, and sleeps with the doorbell's lock.
    void fall_asleep() {
        pg::Connection& listen = db_.open_session(listen_session_settings());
        PgInstanceStore instances(listen);
        db_.value<core::InstanceId>([&](auto done) { instances.register_instance("listener", "", std::move(done)); });
        ask_for_sleep(listen, engine::SleepAnswer::kGranted);
    }
    void ask_for_sleep(pg::Connection& listen, engine::SleepAnswer expected) {
        PgDoorbellStore doorbell(listen);
        EXPECT_EQ(db_.value<engine::SleepAnswer>([&](auto done) { doorbell.try_to_sleep(std::move(done)); }), expected);
    }

    Stores db_{test::fresh_database()};
    pg::Session application_ = test::connect_or_abort(db_.url());
};

TEST_F(Psql, ASingleInsertIsQueuedAndNotifiesOnce) {
    fall_asleep();
    run(application_, "INSERT INTO messages (recipient, content) VALUES ('+905551111111', 'Hello')");
    ASSERT_TRUE(test::run_until(db_.loop(), [&] { return !db_.notified().empty(); }));
    EXPECT_EQ(db_.notified(), std::vector<std::string>{kReadyChannel});
    EXPECT_EQ(queue(), "1");
}

// Regression: the checks of endpoints are regular expressions, of which that setting made others, and the service never started.
TEST_F(Psql, TheChecksDoNotDependOnTheSessionsReadingOfBackslashes) {
    run(application_, "SET standard_conforming_strings = off");
    run(application_,
        "INSERT INTO messaging.endpoints (name, url, event_types, headers) "
        "VALUES ('shop', 'https://[::1]:8443/x', '{invoice.*,*}', '{\"X-A\": \"b\"}')");
    run(application_, "INSERT INTO messaging.events (type, data) VALUES ('invoice.paid', '{}')");
    run(application_, "SELECT messaging.replay(event_type => 'invoice.*')");
    EXPECT_EQ(db_.number("SELECT count(*) FROM messages WHERE event_id = 1"), 1);
    for (const char* bad :
         {"name = '.'", "url = 'http://a\\\\b/'", "event_types = '{invoice*}'", "headers = '{\"X-A\": \"\\\\u0001\"}'"}) {
        const auto refused =
            application_.execute_script(std::string("UPDATE messaging.endpoints SET ") + bad + " WHERE name = 'shop'");
        EXPECT_FALSE(refused.ok()) << bad;
    }
}

TEST_F(Psql, WhileAnEngineIsAwakeNothingNotifies) {
    pg::Connection& listen = db_.open_session(listen_session_settings());
    PgInstanceStore instances(listen);
    db_.value<core::InstanceId>([&](auto done) { instances.register_instance("listener", "", std::move(done)); });
    run(application_, "BEGIN");
    run(application_, "INSERT INTO messages (recipient, content) VALUES ('+1', 'a')");
    ask_for_sleep(listen, engine::SleepAnswer::kInsertersOpen);
    run(application_, "COMMIT");
    ask_for_sleep(listen, engine::SleepAnswer::kGranted);
    EXPECT_EQ(queue(), "1") << "seen by an engine that polls once more with the lock";
    ask_for_sleep(db_.open_session(listen_session_settings()), engine::SleepAnswer::kHeldByPeer);
    PgDoorbellStore doorbell(listen);
    db_.value<core::Unit>([&](auto done) { doorbell.wake_up(std::move(done)); });
    run(application_, "INSERT INTO messages (recipient, content) VALUES ('+1', 'b')");
    db_.value<core::Unit>([&](auto done) { doorbell.wake_peers(std::move(done)); });
    ASSERT_TRUE(test::run_until(db_.loop(), [&] { return !db_.notified().empty(); }));
    EXPECT_EQ(db_.notified().size(), 1U) << "of the call for help alone";
}

TEST_F(Psql, AMultiRowInsertIsQueuedWhole) {
    run(application_, "INSERT INTO messages (recipient, content) VALUES ('+1', 'a'), ('+2', 'b'), ('+3', 'c')");
    EXPECT_EQ(queue(), "1 2 3");
}

TEST_F(Psql, AnInsertOfAHundredThousandIsQueuedWholeWithOneNotification) {
    fall_asleep();
    run(application_, "INSERT INTO messages (recipient, content) SELECT '+' || g, 'text' FROM generate_series(1, 100000) g");
    EXPECT_EQ(queued(), 100000);
    EXPECT_EQ(
        db_.number("SELECT count(DISTINCT id) FROM messaging._queue q WHERE EXISTS (SELECT FROM messages m WHERE m.id = q.id)"),
        100000);
    ASSERT_TRUE(test::run_until(db_.loop(), [&] { return !db_.notified().empty(); }));
    EXPECT_EQ(db_.notified().size(), 1U);
}

TEST_F(Psql, ACopyIsQueuedWhole) {
    ASSERT_TRUE(application_.begin_copy("COPY messages (recipient, content) FROM STDIN"));
    for (int i = 0; i < 1000; ++i) ASSERT_TRUE(application_.put_copy("+90555\tMerhaba\n"));
    ASSERT_TRUE(application_.end_copy());
    EXPECT_EQ(queued(), 1000);
}

TEST_F(Psql, ARolledBackInsertQueuesNothing) {
    run(application_, "BEGIN");
    run(application_, "INSERT INTO messages (recipient, content) VALUES ('+1', 'a')");
    EXPECT_EQ(queue(), "") << "nothing is seen before the commit";
    run(application_, "ROLLBACK");
    EXPECT_EQ(queue(), "");
}

TEST_F(Psql, ARolledBackSavepointLeavesTheRest) {
    run(application_,
        "BEGIN; INSERT INTO messages (recipient, content) VALUES ('+1', 'kept'); SAVEPOINT s;"
        "INSERT INTO messages (recipient, content) VALUES ('+1', 'dropped'); ROLLBACK TO s;"
        "INSERT INTO messages (recipient, content) VALUES ('+1', 'kept too'); COMMIT");
    EXPECT_EQ(queue(), "1 3");
}

TEST_F(Psql, ARowInsertedAsSentIsNotQueued) {
    run(application_, "INSERT INTO messages (recipient, content, is_sent) VALUES ('+1', 'old', true), ('+1', 'new', false)");
    EXPECT_EQ(queue(), "2");
}

TEST_F(Psql, SettingIsSentBackQueuesASentMessageAgainFromItsStart) {
    run(application_, "INSERT INTO messages (recipient, content) VALUES ('+1', 'a')");
    test::OneEngine engine(db_);
    engine.record(engine.claim(), core::OutcomeKind::kRetry);
    engine.record(engine.claim_due(), core::OutcomeKind::kDelivered);
    EXPECT_EQ(db_.sql("SELECT is_sent, attempts FROM messages"), "true|2");
    const std::string sent = generation();
    EXPECT_EQ(queue(), "");
    run(application_, "UPDATE messages SET is_sent = false WHERE id = 1");
    EXPECT_EQ(queue(), "1");
    EXPECT_EQ(db_.sql("SELECT is_sent, attempts, abandoned, sent_at, receiver_message_id FROM messages"), "false|0|0||");
    EXPECT_NE(generation(), sent) << "a late outcome of the earlier sending must not count for this one";
    EXPECT_EQ(db_.sql("SELECT generation / 128 = " + sent + " / 128 FROM messages"), "true") << "the webhook-id stays";
    EXPECT_EQ(misplaced(), "");
}

TEST_F(Psql, AMessageCanBeSentAgainAsOftenAsAnybodyLikes) {
    db_.sql("INSERT INTO messages (recipient, content, generation, is_sent) VALUES ('+1', 'a', 2147483647, true)");
    for (const char* expected : {"2147483520", "2147483521"}) {
        run(application_, "UPDATE messages SET is_sent = false");
        EXPECT_EQ(generation(), expected) << "the count begins anew after 127, and the rest stays";
        run(application_, "UPDATE messages SET is_sent = true");
    }
}

TEST_F(Psql, SettingIsSentBackQueuesTheDeadLetteredAndTheScheduledAtOnce) {
    run(application_, "INSERT INTO messages (recipient, content) VALUES ('+1', 'a')");
    for (const char* place : {"dead", "schedule"}) {
        put_into(place);
        const std::string before = generation();
        run(application_, "UPDATE messages SET is_sent = false");
        EXPECT_EQ(queue(), "1") << place;
        EXPECT_EQ(misplaced(), "") << place;
        EXPECT_NE(generation(), before) << place;
    }
}

TEST_F(Psql, SettingIsSentBackOnWhatIsQueuedHeldOrInFlightDoesNotQueueItTwice) {
    run(application_, "INSERT INTO messages (recipient, content) VALUES ('+1', 'a')");
    const std::string before = generation();
    run(application_, "UPDATE messages SET is_sent = false");
    EXPECT_EQ(queue(), "1");
    put_into("hold");
    run(application_, "UPDATE messages SET is_sent = false");
    EXPECT_EQ(queue(), "");
    db_.sql("DELETE FROM messaging._hold");
    run(application_, "UPDATE messages SET is_sent = false");
    EXPECT_EQ(queue(), "") << "in flight";
    EXPECT_EQ(generation(), before);
}

TEST_F(Psql, AChangeOfTheContentAloneQueuesNothing) {
    run(application_, "INSERT INTO messages (recipient, content) VALUES ('+1', 'a')");
    put_into("dead");
    run(application_, "UPDATE messages SET content = 'b', recipient = '+2'");
    EXPECT_EQ(queue(), "");
    EXPECT_EQ(db_.sql("SELECT content FROM messages m JOIN messaging._dead d USING (id)"), "b");
}

// An ORM that saves every column it knows, with values that it has read earlier.
TEST_F(Psql, ASaveOfAWholeRowChangesNothingThatTheProtocolRestsOn) {
    run(application_, "INSERT INTO messages (recipient, content) VALUES ('+1', 'a')");
    test::OneEngine engine(db_);
    engine.record(engine.claim(), core::OutcomeKind::kRetry);
    const auto in_flight = engine.claim_due();
    const std::string before = generation();
    run(application_,
        "UPDATE messages SET content = 'b', is_sent = false, attempts = 9, abandoned = 8, generation = 7, sent_at = NULL");
    EXPECT_EQ(db_.sql("SELECT attempts, abandoned, content FROM messages"), "1|0|b");
    EXPECT_EQ(generation(), before);
    EXPECT_EQ(misplaced(), "") << "it is still in the ledger, open";
    engine.record(in_flight, core::OutcomeKind::kRetry);
    EXPECT_EQ(db_.sql("SELECT attempts FROM messages JOIN messaging._schedule USING (id)"), "2") << "its failure counts";
    run(application_, "UPDATE messages SET attempts = 16");
    EXPECT_EQ(db_.sql("SELECT attempts FROM messages"), "2");
}

TEST_F(Psql, AMessageKeepsItsId) {
    run(application_, "INSERT INTO messages (recipient, content) VALUES ('+1', 'a')");
    for (const auto& [id, sqlstate] : {std::pair{"7", "428C9"}, std::pair{"DEFAULT", "23000"}}) {
        const auto refused = application_.execute_script(std::string("UPDATE messages SET id = ") + id);
        ASSERT_FALSE(refused.ok()) << id;
        EXPECT_EQ(refused.error().sqlstate, sqlstate) << refused.error().message;
    }
    EXPECT_EQ(queue(), "1");
}

TEST_F(Psql, AnApplicationsOwnTriggerMaySendAgain) {
    db_.sql("CREATE FUNCTION edited() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.is_sent := false; RETURN NEW; END'");
    for (const std::string name : {"a", "messages_edited", "zz_edited", "zz_messaging_0"}) {
        db_.sql("TRUNCATE messages RESTART IDENTITY");
        db_.sql("INSERT INTO messages (recipient, content, is_sent) VALUES ('+1', 'a', true)");
        db_.sql("CREATE TRIGGER " + name + " BEFORE UPDATE OF content ON messages FOR EACH ROW EXECUTE FUNCTION edited()");
        const std::string before = generation();
        run(application_, "UPDATE messages SET content = 'b'");
        EXPECT_EQ(queue(), "1") << name;
        EXPECT_NE(generation(), before) << name;
        EXPECT_EQ(misplaced(), "") << name;
        db_.sql("DROP TRIGGER " + name + " ON messages");
    }
}

TEST_F(Psql, WhatIsMarkedAsSentByHandLeavesItsPlace) {
    run(application_, "INSERT INTO messages (recipient, content) VALUES ('+1', 'a')");
    for (const char* place : {"dead", "schedule", "hold"}) {
        put_into(place);
        run(application_, "UPDATE messages SET is_sent = true");
        EXPECT_EQ(misplaced(), "") << place;
        run(application_, "UPDATE messages SET is_sent = false");
        EXPECT_EQ(queue(), "1") << place;
        EXPECT_EQ(misplaced(), "") << place;
    }
    run(application_, "UPDATE messages SET is_sent = true");
    EXPECT_EQ(test::OneEngine(db_).claim().size(), 0U) << "the queue's row goes at the next claim";
    EXPECT_EQ(queue(), "");
    EXPECT_EQ(misplaced(), "");
}

TEST_F(Psql, ADeletedMessageLeavesItsPlaceAndItsAttempts) {
    for (const char* place : {"dead", "schedule", "hold", "queue"}) {
        run(application_, "INSERT INTO messages (recipient, content) VALUES ('+1', 'a')");
        if (std::string(place) != "queue") put_into(place);
        db_.sql("INSERT INTO messaging._attempt (message_id, attempt, duration_ms, error) SELECT id, 1, 1, 'x' FROM messages");
        run(application_, "DELETE FROM messages");
        if (std::string(place) == "queue") {
            EXPECT_EQ(test::OneEngine(db_).claim().size(), 0U);
        }
        EXPECT_EQ(
            db_.sql(
                "SELECT id FROM messaging._queue UNION ALL SELECT id FROM messaging._schedule UNION ALL SELECT id FROM "
                "messaging._hold UNION ALL SELECT id FROM messaging._dead UNION ALL SELECT message_id FROM messaging._attempt"),
            "")
            << place;
    }
}

TEST_F(Psql, AfterATruncateNothingRemembersTheIds) {
    run(application_, "INSERT INTO messages (recipient, content) SELECT '+1', 'old' FROM generate_series(1, 6)");
    test::OneEngine engine(db_);
    const auto in_flight = engine.claim(2);
    db_.sql(
        "WITH taken AS (DELETE FROM messaging._queue WHERE id IN (3, 4, 5) RETURNING id),"
        " s AS (INSERT INTO messaging._schedule SELECT id, now() FROM taken WHERE id = 3),"
        " h AS (INSERT INTO messaging._hold SELECT id, 1 FROM taken WHERE id = 4),"
        " d AS (INSERT INTO messaging._dead (id, reason) SELECT id, 'x' FROM taken WHERE id = 5),"
        " a AS (INSERT INTO messaging._attempt (message_id, attempt, duration_ms, error) VALUES (3, 1, 1, 'x')),"
        " b AS (INSERT INTO messaging._sent_batch (sent_at, size, ids) VALUES (now(), 1, '{1}')),"
        " r AS (INSERT INTO messaging._receipt_backlog VALUES (1, 11)),"
        " k AS (INSERT INTO messaging._idempotency_key (scope, key, fingerprint, status, body) VALUES ('s', 'k', 'f', 201, '{}'))"
        " INSERT INTO messaging._suspect VALUES (6)");
    EXPECT_EQ(misplaced(), "");
    run(application_, "TRUNCATE messages RESTART IDENTITY");
    for (const char* table : {"_queue", "_schedule", "_hold", "_dead", "_claim", "_attempt", "_sent_batch", "_receipt_backlog",
                              "_suspect", "_idempotency_key"}) {
        EXPECT_EQ(db_.number(std::string("SELECT count(*) FROM messaging.") + table), 0) << table;
    }
    run(application_, "INSERT INTO messages (recipient, content) VALUES ('+1', 'new'), ('+1', 'new')");
    engine.record(in_flight, core::OutcomeKind::kDelivered);
    EXPECT_EQ(db_.number("SELECT count(*) FROM messages WHERE is_sent"), 0) << "what was sent are other messages with these ids";
    EXPECT_EQ(queue(), "1 2");
}

// A SECURITY DEFINER function must not be led to a table or a function of the caller's.
TEST_F(Psql, ACallersOwnTablesAndFunctionsDoNotDivertTheTrigger) {
    run(application_,
        "CREATE TEMP TABLE _queue (xid xid8 DEFAULT pg_current_xact_id(), id bigint);"
        "CREATE SCHEMA trap;"
        "CREATE FUNCTION trap.current_setting(text, boolean) RETURNS text LANGUAGE plpgsql AS 'BEGIN RAISE ''trapped''; END';"
        "CREATE FUNCTION trap.pg_try_advisory_xact_lock_shared(integer, integer) RETURNS boolean"
        " LANGUAGE plpgsql AS 'BEGIN RAISE ''trapped''; END';"
        "SET search_path = pg_temp, trap, pg_catalog, public");
    run(application_, "INSERT INTO messages (recipient, content) VALUES ('+1', 'a')");
    run(application_, "UPDATE messages SET is_sent = true");
    run(application_, "UPDATE messages SET is_sent = false");
    EXPECT_EQ(db_.sql("SELECT DISTINCT id FROM messaging._queue"), "1");
}

TEST_F(Psql, EmptyAndOversizedContentsAreRefused) {
    for (const char* content : {"''", "repeat('x', 4097)", "repeat('é', 2049)"}) {
        const auto refused =
            application_.execute_script(std::string("INSERT INTO messages (recipient, content) VALUES ('+1', ") + content + ")");
        ASSERT_FALSE(refused.ok()) << content;
        EXPECT_EQ(refused.error().sqlstate, "23514");
    }
    run(application_, "INSERT INTO messages (recipient, content) VALUES ('+1', repeat('é', 2048))");
    EXPECT_EQ(queued(), 1);
}

// PostgreSQL refuses to PREPARE after a NOTIFY, which is what an insert sends while every engine sleeps.
TEST_F(Psql, ATwoPhaseTransactionNeedsMessagingNotifyOff) {
    fall_asleep();
    const std::string insert = "INSERT INTO messages (recipient, content) VALUES ('+1', 'a')";
    run(application_, "BEGIN; " + insert);
    const auto refused = application_.execute_script("PREPARE TRANSACTION 'notified'");
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().sqlstate, "0A000") << refused.error().message;
    run(application_, "BEGIN; SET LOCAL messaging.notify = 'off'; " + insert + "; PREPARE TRANSACTION 'quiet'");
    EXPECT_EQ(queue(), "");
    run(application_, "COMMIT PREPARED 'quiet'");
    EXPECT_EQ(queue(), "2") << "found by the engines' next poll, a second later at most";
    run(application_,
        "BEGIN; SET LOCAL messaging.notify = 'off'; UPDATE messages SET is_sent = true; UPDATE messages SET is_sent = false;"
        "PREPARE TRANSACTION 'quiet'");
    run(application_, "ROLLBACK PREPARED 'quiet'");
    EXPECT_TRUE(db_.notified().empty());
}

TEST_F(Psql, WithMessagingNotifyOffAPreparedTransactionHoldsNoDoorbellLock) {
    pg::Connection& listen = db_.open_session(listen_session_settings());
    const auto prepare = [&](const std::string& setting) {
        run(application_,
            "BEGIN; " + setting + "INSERT INTO messages (recipient, content) VALUES ('+1', 'a'); PREPARE TRANSACTION 'p'");
    };
    prepare("");
    ask_for_sleep(listen, engine::SleepAnswer::kInsertersOpen);
    run(application_, "ROLLBACK PREPARED 'p'");
    prepare("SET LOCAL messaging.notify = 'off'; ");
    ask_for_sleep(listen, engine::SleepAnswer::kGranted);
    run(application_, "COMMIT PREPARED 'p'");
    EXPECT_EQ(queued(), 1);
}

// A publication for all tables refuses to delete from a table without an identity: every claim failed, and DELETE FROM messages.
TEST_F(Psql, APublicationForAllTablesStopsNothing) {
    db_.sql("CREATE PUBLICATION everything FOR ALL TABLES");
    db_.sql("INSERT INTO messages (recipient, content) VALUES ('a', 'b'), ('a', 'c')");
    db_.sql("DELETE FROM messages WHERE content = 'b'");
    for (const char* table : {"_queue", "_suspect", "_attempt"}) db_.sql(std::string("DELETE FROM messaging.") + table);
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._queue"), 0);
    for (const char* table : {"messaging._queue", "messaging._attempt", "messaging._suspect"}) {
        EXPECT_EQ(db_.sql(std::string("SELECT relreplident FROM pg_class WHERE oid = '") + table + "'::regclass"), "f") << table;
    }
    EXPECT_EQ(db_.sql("SELECT oid::regclass FROM pg_class c WHERE relnamespace = 'messaging'::regnamespace AND relkind = 'r' AND "
                      "relreplident <> 'f' AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = c.oid AND indisprimary)"),
              "")
        << "a table without an identity";
}

// Ten messages of an older snapshot's transaction were to be sent again, and stayed dead-lettered without a word.
TEST_F(Psql, ChangesThatNeedThePlaceOfAMessageAreRefusedToOlderSnapshots) {
    db_.sql("INSERT INTO messages (recipient, content) VALUES ('+1', 'a')");
    for (const char* level : {"REPEATABLE READ", "SERIALIZABLE"}) {
        for (const char* change : {"is_sent = false", "is_sent = true", "endpoint_id = 2", "endpoint_id = 2, is_sent = false"}) {
            pg::Session session = test::connect_or_abort(db_.url());
            const auto refused = session.execute_script(std::string("BEGIN ISOLATION LEVEL ") + level + "; UPDATE messages SET " +
                                                        change + "; COMMIT");
            ASSERT_FALSE(refused) << level << change;
            EXPECT_NE(refused.error().message.find("READ COMMITTED only"), std::string::npos) << refused.error().message;
        }
        run(application_,
            std::string("BEGIN ISOLATION LEVEL ") + level +
                "; UPDATE messages SET recipient = '+2'; INSERT INTO messages (recipient, content) VALUES ('+1', 'b'); COMMIT");
    }
    EXPECT_EQ(queued(), 3);
}

TEST_F(Psql, AnEndpointKeepsItsId) {
    pg::Session session = test::connect_or_abort(db_.url());
    const auto refused = session.execute_script("UPDATE messaging.endpoints SET id = DEFAULT WHERE id = 1");
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().message.find("an endpoint keeps its id"), std::string::npos) << refused.error().message;
}

}  // namespace
}  // namespace messaging::repository
