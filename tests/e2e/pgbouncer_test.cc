// PgBouncer in front of PostgreSQL: applications insert through it, and the service refuses to work through it.
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <thread>
#include <vector>

#include "support/places.h"
#include "support/private_pgbouncer.h"
#include "support/world.h"

namespace messaging::test {
namespace {

constexpr const char* kInsertOne = "INSERT INTO messages (recipient, content) VALUES ('a', 'b')";

// Of all the engines of the database one sleeps with this lock.
constexpr const char* kIsAsleep =
    "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND classid = 771 AND mode = 'ExclusiveLock' AND granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))";

class Pgbouncer : public testing::Test {
protected:
    pg::Session application() {
        auto session = pg::Session::connect(pooled_url_, "application");
        if (!session) ADD_FAILURE() << session.error().message;
        return std::move(session.value());
    }
    static void run(pg::Session& session, const std::string& script) {
        const auto done = session.execute_script(script);
        EXPECT_TRUE(done) << script << ": " << (done ? "" : done.error().message);
    }
    // All of them, each once, and the service has nothing left to do.
    void expect_sent(long messages) {
        EXPECT_TRUE(wait_until([&] { return receiver_.stat("distinct") >= messages; }));
        EXPECT_TRUE(wait_until([&] { return service_.sql("SELECT count(*) FROM messages WHERE NOT is_sent") == "0"; }));
        EXPECT_EQ(service_.sql("SELECT count(*) FROM messages"), std::to_string(messages));
        EXPECT_EQ(receiver_.stat("received"), messages);
        EXPECT_EQ(service_.sql("SELECT count(*) FROM messaging._queue"), "0");
    }
    // By the fallback timer it would take up to a second.
    void expect_sent_at_once() {
        EXPECT_EQ(service_.sql("SELECT count(*) FROM messages WHERE sent_at - created_at > interval '700 milliseconds'"), "0");
    }

    const Receiver receiver_;
    Service service_{{{"WEBHOOK_URL", receiver_.url()}}};  // connected directly
    const PrivatePgbouncer pooler_{shared_postgres()};
    const std::string pooled_url_ = pooler_.url(service_.database_url());
};

TEST_F(Pgbouncer, EveryWayToInsertThroughItIsSent) {
    pg::Session session = application();
    run(session, kInsertOne);
    run(session, "INSERT INTO messages (recipient, content) SELECT 'many', 'n' || g FROM generate_series(1, 50) g");
    const auto returned = session.execute("INSERT INTO messages (recipient, content) VALUES ($1, $2) RETURNING id",
                                          pg::Params().text("parameters").text("c"));
    ASSERT_TRUE(returned) << returned.error().message;
    EXPECT_EQ(returned->size(), 1);
    ASSERT_TRUE(session.begin_copy("COPY messages (recipient, content) FROM STDIN"));
    for (int row = 0; row < 200; ++row) ASSERT_TRUE(session.put_copy("copied\trow " + std::to_string(row) + "\n"));
    ASSERT_TRUE(session.end_copy());
    expect_sent(252);
}

TEST_F(Pgbouncer, WhatATransactionThroughItCommitsIsSent) {
    pg::Session session = application();
    run(session, "BEGIN");
    run(session, kInsertOne);
    run(session, "SAVEPOINT before_second");
    run(session, kInsertOne);
    run(session, "ROLLBACK TO before_second");
    run(session, kInsertOne);
    run(session, "COMMIT");
    run(session, "BEGIN");
    run(session, kInsertOne);
    run(session, "ROLLBACK");
    expect_sent(2);
}

// Neither the advisory lock of the doorbell nor the notification depends on the application's session.
TEST_F(Pgbouncer, AnInsertThroughItWakesASleepingEngine) {
    pg::Session session = application();
    for (int i = 1; i <= 20; ++i) {
        ASSERT_TRUE(wait_until([&] { return service_.sql(kIsAsleep) == "t"; }));
        run(session, kInsertOne);
        ASSERT_TRUE(wait_until([&] { return receiver_.stat("distinct") == 2 * i - 1; }));
        run(session, kInsertOne);  // most often while it is still awake
        ASSERT_TRUE(wait_until([&] { return receiver_.stat("distinct") == 2 * i; }));
    }
    expect_sent(40);
    expect_sent_at_once();
    EXPECT_EQ(service_.metric("messaging_missed_notifications_total"), 0);
}

TEST_F(Pgbouncer, ManyApplicationsShareFewSessions) {
    constexpr int kApplications = 40;
    constexpr int kTransactions = 25;
    std::vector<std::string> servers(kApplications);  // the process id of a PostgreSQL session that each of them has used
    std::vector<std::thread> threads;
    for (int i = 0; i < kApplications; ++i) {
        threads.emplace_back([this, &server = servers[static_cast<std::size_t>(i)]] {
            pg::Session session = application();
            for (int n = 0; n < kTransactions; ++n) {
                run(session, "BEGIN");
                run(session, kInsertOne);
                run(session, "INSERT INTO messages (recipient, content) VALUES ('c', 'd'), ('e', 'f')");
                run(session, "COMMIT");
            }
            const auto pid = session.execute("SELECT pg_backend_pid()");
            EXPECT_TRUE(pid);
            if (pid) server = pid->text(0, 0);
        });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_LE(std::set<std::string>(servers.begin(), servers.end()).size(), std::size_t{PrivatePgbouncer::kServerSessions});
    expect_sent(3L * kApplications * kTransactions);
}

CommandResult migrate_up(const std::string& url) {
    ProcessOptions options;
    options.arguments = {messaging_binary(), "migrate", "up"};
    options.environment = {{"DATABASE_URL", url}, {"MIGRATIONS_DIR", migrations_dir()}};
    return run_command(options, std::chrono::seconds(15));
}

// `migrate` holds an advisory lock of its session. The session behind a pooler outlives the program, and its lock with it.
TEST(MigrateThroughPgbouncer, DoesNotKeepLaterMigrationsFromRunning) {
    const PrivatePgbouncer pooler(shared_postgres());
    const std::string database = empty_database();
    const CommandResult through_pooler = migrate_up(pooler.url(database));
    const CommandResult direct = migrate_up(database);
    EXPECT_EQ(direct.exit_code, 0) << direct.output << "after, through the pooler: " << through_pooler.output;
}

struct Pooling {
    const char* name;
    PgbouncerOptions options;
};

class ServeThroughPgbouncer : public testing::TestWithParam<Pooling> {};

// LISTEN, advisory locks, prepared statements and the settings of a session all need a session that no other client uses.
TEST_P(ServeThroughPgbouncer, IsRefusedWithTheReason) {
    const PrivatePgbouncer pooler(shared_postgres(), GetParam().options);
    const std::string database = migrated(empty_database());
    const Receiver receiver;
    const CommandResult refused =
        run_command(Service::process({{"WEBHOOK_URL", receiver.url()}}, pooler.url(database)), std::chrono::seconds(15));
    EXPECT_EQ(refused.exit_code, 1);
    EXPECT_NE(refused.output.find("needs sessions of its own"), std::string::npos) << refused.output;
}

INSTANTIATE_TEST_SUITE_P(Pools, ServeThroughPgbouncer,
                         testing::Values(Pooling{"Transaction", {"transaction", ""}}, Pooling{"Session", {"session", ""}},
                                         Pooling{"TransactionThatIgnoresSettings", {"transaction", "options,extra_float_digits"}},
                                         Pooling{"SessionThatIgnoresSettings", {"session", "options,extra_float_digits"}}),
                         [](const testing::TestParamInfo<Pooling>& each) { return each.param.name; });

}  // namespace
}  // namespace messaging::test
