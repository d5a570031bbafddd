// PostgreSQL restarted, crashed, full, read-only, slow or locked: the service waits, keeps what it knows, and goes on.
#include <gtest/gtest.h>

#include <csignal>

#include "support/private_postgres.h"
#include "support/stores.h"
#include "support/tally.h"
#include "support/world.h"

namespace messaging::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr const char* kRecordTroubles = "messaging_dependency_errors_total{operation=\"record\"}";
constexpr const char* kRecordOneTroubles = "messaging_dependency_errors_total{operation=\"record one message\"}";

// Messages on their way to a receiver that is slow enough for the fault to fall in the middle.
class Postgres : public testing::Test {
protected:
    static ScriptedReceiver::Script slowly() {
        ScriptedAnswer answer;
        answer.delay = milliseconds(30);
        return ScriptedReceiver::always(answer);
    }
    void send_some(long count = 4000) {
        commit_messages(database_, count);
        ASSERT_TRUE(receiver_.wait_for(receiver_.count() + static_cast<std::size_t>(count / 8)));
    }
    // Nothing lost, nothing sent twice, and no attempt used up.
    void expect_unharmed(Tally& tally) {
        tally.expect_settled();
        tally.expect_recovered();
        tally.expect_none_lost(0);
        EXPECT_EQ(service_.sql("SELECT max(attempts) FROM messages"), "1") << "no fault of ours counts as an attempt";
        EXPECT_EQ(service_.sql("SELECT count(*) FROM messaging._attempt"), "0");
    }
    static void wait(milliseconds time) {
        const SteadyTime end = std::chrono::steady_clock::now() + time;
        wait_until([&] { return std::chrono::steady_clock::now() >= end; }, time * 2);
    }
    static SteadyTime now() { return std::chrono::steady_clock::now(); }

    ScriptedReceiver receiver_{slowly()};
    std::string database_ = migrated(empty_database());
    Service service_{{{"WEBHOOK_URL", receiver_.url()}}, database_};
};

TEST_F(Postgres, AFastRestartIsOutlived) {
    Tally tally("PostgreSQL restarted (fast)", database_, receiver_);
    send_some();
    shared_postgres().restart(SIGINT);
    tally.expect_sending_resumes(now(), seconds(2));
    expect_unharmed(tally);
    for (const std::string session : {"claim", "record", "listen"}) {
        EXPECT_EQ(service_.metric("messaging_reconnects_total{session=\"postgres_" + session + "\"}"), 1) << session;
    }
}

TEST_F(Postgres, ACrashIsOutlived) {
    Tally tally("PostgreSQL crashed, started again", database_, receiver_);
    send_some();
    shared_postgres().restart(SIGQUIT);
    tally.expect_sending_resumes(now(), seconds(2));
    expect_unharmed(tally);
}

TEST_F(Postgres, AnAbsenceOfTenSecondsIsOutlivedByTwoProcesses) {
    Tally tally("PostgreSQL away for 10 s, two processes", database_, receiver_);
    const Service second({{"WEBHOOK_URL", receiver_.url()}}, database_);
    send_some();
    shared_postgres().stop(SIGQUIT);
    wait(seconds(10));
    shared_postgres().start();
    tally.expect_sending_resumes(now(), seconds(2));
    expect_unharmed(tally);
}

TEST_F(Postgres, EachSessionTerminatedInTurnIsMadeAnew) {
    Tally tally("pg_terminate_backend of each session", database_, receiver_);
    for (int round = 0; round < 2; ++round) {
        for (const std::string session : {"claim", "record", "listen", "api", "reconcile"}) {
            send_some(1000);
            service_.sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND "
                "application_name LIKE 'messaging " +
                session + "%'");
            tally.expect_sending_resumes(now(), seconds(2));
        }
    }
    expect_unharmed(tally);
}

TEST_F(Postgres, ReadOnlyForAWhileIsOutlived) {
    Tally tally("PostgreSQL read-only for 5 s", database_, receiver_);
    send_some();
    PrivatePostgres& server = shared_postgres();
    server.run_sql("ALTER SYSTEM SET default_transaction_read_only = on");
    server.run_sql("SELECT pg_reload_conf()");
    ASSERT_TRUE(wait_until([&] { return service_.metric(kRecordTroubles) > 0; }));
    wait(seconds(5));
    auto session = connect_or_abort(server.url());
    ASSERT_TRUE(session.execute_script("SET default_transaction_read_only = off").ok());
    ASSERT_TRUE(session.execute_script("ALTER SYSTEM RESET default_transaction_read_only").ok());
    ASSERT_TRUE(session.execute_script("SELECT pg_reload_conf()").ok());
    tally.expect_sending_resumes(now(), seconds(2));
    expect_unharmed(tally);
}

TEST_F(Postgres, ALockOnMessagesForTenSecondsIsOutlived) {
    Tally tally("messages locked for 10 s", database_, receiver_);
    send_some();
    {
        auto blocker = connect_or_abort(database_);
        ASSERT_TRUE(blocker.execute_script("BEGIN; LOCK TABLE messages IN ACCESS EXCLUSIVE MODE").ok());
        wait(seconds(10));
    }
    tally.expect_sending_resumes(now(), seconds(2));
    expect_unharmed(tally);
}

TEST_F(Postgres, ARecordThatTimesOutIsTriedUntilItIsDone) {
    Tally tally("record runs into its statement timeout", database_, receiver_);
    service_.sql("CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(6); RETURN NULL; END'");
    service_.sql("CREATE TRIGGER slow BEFORE UPDATE ON messages FOR EACH STATEMENT EXECUTE FUNCTION slow()");
    commit_messages(database_, 500);
    ASSERT_TRUE(wait_until([&] {
        return std::max(0.0, service_.metric(kRecordTroubles)) + std::max(0.0, service_.metric(kRecordOneTroubles)) >= 2;
    }));
    ASSERT_TRUE(receiver_.wait_for(500));
    service_.sql("DROP TRIGGER slow ON messages");
    const SteadyTime ended = now();
    tally.expect_settled();
    tally.expect_no_longer_than(seconds(10), ended);
    expect_unharmed(tally);
}

TEST_F(Postgres, AClaimThatTimesOutIsTriedUntilItIsDone) {
    Tally tally("claim runs into its statement timeout", database_, receiver_);
    service_.sql("CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(6); RETURN NULL; END'");
    service_.sql("CREATE TRIGGER slow BEFORE DELETE ON messaging._queue FOR EACH STATEMENT EXECUTE FUNCTION slow()");
    commit_messages(database_, 500);
    ASSERT_TRUE(wait_until([&] { return service_.metric("messaging_dependency_errors_total{operation=\"claim\"}") >= 1; }));
    service_.sql("DROP TRIGGER slow ON messaging._queue");
    tally.expect_sending_resumes(now(), seconds(2));
    expect_unharmed(tally);
}

TEST(PostgresConnections, NoneLeftIsOutlivedByAnOrdinaryRole) {
    ScriptedReceiver receiver;
    const std::string database = migrated(empty_database());
    auto owner = connect_or_abort(database);
    ASSERT_TRUE(owner.execute_script("CREATE ROLE sender LOGIN; SELECT messaging.grant_to('sender', 'service')").ok());
    const std::string as_sender = std::string(database).replace(database.find("postgres@"), 8, "sender");
    Tally tally("out of connections for 5 s", database, receiver);
    {
        Service service({{"WEBHOOK_URL", receiver.url()}, {"DATABASE_URL", as_sender}}, database);
        commit_messages(database, 2000);
        tally.expect_settled();
        ASSERT_TRUE(owner.execute_script("ALTER ROLE sender CONNECTION LIMIT 0").ok());
        ASSERT_TRUE(owner.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'sender'").ok());
        ASSERT_TRUE(wait_until([&] { return service.output().find("too many connections") != std::string::npos; }));
        commit_messages(database, 2000);
        const SteadyTime end = std::chrono::steady_clock::now() + seconds(5);
        ASSERT_TRUE(wait_until([&] { return std::chrono::steady_clock::now() > end; }, seconds(10)));
        ASSERT_TRUE(owner.execute_script("ALTER ROLE sender CONNECTION LIMIT -1").ok());
        tally.expect_sending_resumes(std::chrono::steady_clock::now(), seconds(2));
        tally.expect_settled();
        tally.expect_recovered();
        tally.expect_none_lost(0);
    }
    EXPECT_TRUE(owner.execute_script("DROP OWNED BY sender; DROP ROLE sender").ok());
}

// Regression: a commit that waits for a synchronous standby is ended neither by statement_timeout nor by its client's going, so
// each cut session stayed behind, until no connection was left for anybody.
TEST(SynchronousStandby, WhileItIsAwaySessionsThatWereCutDoNotPileUp) {
    PrivatePostgres server;
    const std::string database = migrated(server.create_database("standby_away"));
    ScriptedReceiver receiver;
    Service service({{"WEBHOOK_URL", receiver.url()}}, database);
    Tally tally("the synchronous standby away for 40 s", database, receiver);
    commit_messages(database, 100);
    ASSERT_TRUE(receiver.wait_for_distinct(100));
    server.run_sql("ALTER SYSTEM SET synchronous_standby_names = 'gone'");
    server.run_sql("SELECT pg_reload_conf()");
    long most = 0;
    const SteadyTime end = std::chrono::steady_clock::now() + seconds(40);
    wait_until(
        [&] {
            most = std::max(
                most,
                std::stol(server.run_sql("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'messaging %'")));
            return std::chrono::steady_clock::now() >= end;
        },
        seconds(60));
    std::printf("the most sessions of ours at one time: %ld\n", most);
    EXPECT_LE(most, 10);
    server.run_sql("ALTER SYSTEM RESET synchronous_standby_names");
    server.run_sql("SELECT pg_reload_conf()");
    tally.expect_recovered();
    tally.expect_none_lost(100);
}

}  // namespace
}  // namespace messaging::test
