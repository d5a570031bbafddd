// What lands in the queue when people use SQL: the triggers, the bell, and the rights of an application's role.
#include "repository/doorbell_store.h"
#include "repository/presence_store.h"
#include "support/private_postgres.h"
#include "support/stores.h"

namespace messaging::repository {
namespace {

using test::Stores;

class Psql : public testing::Test {
protected:
    std::string queue() { return db_.sql("SELECT id FROM messaging._queue ORDER BY xid, id"); }
    std::int64_t queued() { return db_.number("SELECT count(*) FROM messaging._queue"); }
    // Another application's session; what it sends must succeed.
    void run(pg::Session& session, const std::string& script) {
        const auto result = session.execute_script(script);
        EXPECT_TRUE(result.ok()) << script << ": " << (result ? "" : result.error().message);
    }

    // An engine that listens, and sleeps with the doorbell's lock.
    void fall_asleep() {
        pg::Connection& bell = db_.open_session(bell_session_settings());
        PgPresenceStore presence(bell);
        db_.value<core::InstanceId>([&](auto done) { presence.register_instance("listener", std::move(done)); });
        ask_for_sleep(bell, service::SleepAnswer::kHeld);
    }
    void ask_for_sleep(pg::Connection& bell, service::SleepAnswer expected) {
        PgDoorbellStore doorbell(bell);
        EXPECT_EQ(db_.value<service::SleepAnswer>([&](auto done) { doorbell.try_to_sleep(std::move(done)); }), expected);
    }

    Stores db_{test::fresh_database()};
    pg::Session application_ = test::connect_or_abort(db_.url());
};

TEST_F(Psql, ASingleInsertIsQueuedAndRingsTheBellOnce) {
    fall_asleep();
    run(application_, "INSERT INTO messages (recipient, content) VALUES ('+905551111111', 'Hello')");
    ASSERT_TRUE(test::run_until(db_.loop(), [&] { return !db_.notified().empty(); }));
    EXPECT_EQ(db_.notified(), std::vector<std::string>{kReadyChannel});
    EXPECT_EQ(queue(), "1");
}

TEST_F(Psql, WhileAnEngineIsAwakeNothingRings) {
    pg::Connection& bell = db_.open_session(bell_session_settings());
    PgPresenceStore presence(bell);
    db_.value<core::InstanceId>([&](auto done) { presence.register_instance("listener", std::move(done)); });
    run(application_, "BEGIN");
    run(application_, "INSERT INTO messages (recipient, content) VALUES ('+1', 'a')");
    ask_for_sleep(bell, service::SleepAnswer::kInserters);
    run(application_, "COMMIT");
    ask_for_sleep(bell, service::SleepAnswer::kHeld);
    EXPECT_EQ(queue(), "1") << "seen by whoever looks once more with the lock";
    ask_for_sleep(db_.open_session(bell_session_settings()), service::SleepAnswer::kAnother);
    PgDoorbellStore doorbell(bell);
    db_.value<core::Nothing>([&](auto done) { doorbell.wake_up(std::move(done)); });
    run(application_, "INSERT INTO messages (recipient, content) VALUES ('+1', 'b')");
    db_.value<core::Nothing>([&](auto done) { doorbell.call_help(std::move(done)); });
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
    run(application_, "DELETE FROM messaging._queue");
    run(application_, "UPDATE messages SET is_sent = true, sent_at = now(), attempts = 3, receiver_message_id = 'r'");
    EXPECT_EQ(queue(), "");
    run(application_, "UPDATE messages SET is_sent = false WHERE id = 1");
    EXPECT_EQ(queue(), "1");
    EXPECT_EQ(db_.sql("SELECT attempts, sent_at, receiver_message_id FROM messages"), "0||");
}

TEST_F(Psql, SettingIsSentBackRevivesTheDeadAndHurriesTheScheduled) {
    run(application_, "INSERT INTO messages (recipient, content) VALUES ('+1', 'a'), ('+1', 'b')");
    run(application_,
        "DELETE FROM messaging._queue; INSERT INTO messaging._dead (id, reason) VALUES (1, 'x');"
        "INSERT INTO messaging._schedule VALUES (2, now() + interval '1 h')");
    run(application_, "UPDATE messages SET is_sent = false");
    EXPECT_EQ(db_.sql("SELECT id FROM messaging._queue ORDER BY id"), "1 2");
    EXPECT_EQ(db_.number("SELECT (SELECT count(*) FROM messaging._dead) + (SELECT count(*) FROM messaging._schedule)"), 0);
}

TEST_F(Psql, SettingIsSentBackOnWhatIsQueuedOrInFlightDoesNotQueueItTwice) {
    run(application_, "INSERT INTO messages (recipient, content) VALUES ('+1', 'queued'), ('+1', 'in flight')");
    run(application_, "DELETE FROM messaging._queue WHERE id = 2");
    run(application_, "UPDATE messages SET is_sent = false");
    EXPECT_EQ(queue(), "1");
}

TEST_F(Psql, ARoleWithNothingButInsertCanSend) {
    const std::string role = "only_insert";  // roles belong to the whole server
    db_.sql("CREATE ROLE " + role);
    db_.sql("GRANT INSERT ON messages TO " + role);
    run(application_, "SET ROLE " + role);
    run(application_, "INSERT INTO messages (recipient, content) VALUES ('+1', 'a')");
    EXPECT_FALSE(application_.execute_script("DELETE FROM messaging._queue").ok());
    EXPECT_FALSE(application_.execute_script("SELECT content FROM messages").ok());
    run(application_, "RESET ROLE");
    EXPECT_EQ(queue(), "1");
    db_.sql("DROP OWNED BY " + role);
    db_.sql("DROP ROLE " + role);
}

// A SECURITY DEFINER function must not be led to a table of the caller's.
TEST_F(Psql, ACallersOwnTablesDoNotDivertTheTrigger) {
    run(application_, "CREATE TEMP TABLE messaging._queue (xid xid8 DEFAULT pg_current_xact_id(), id bigint)");
    run(application_, "INSERT INTO messages (recipient, content) VALUES ('+1', 'a')");
    EXPECT_EQ(queue(), "1");
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

}  // namespace
}  // namespace messaging::repository
