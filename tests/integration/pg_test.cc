// Units of work on a real PostgreSQL: pipelining, rollback, notifications, and the lifetime of a Connection.
#include <gtest/gtest.h>

#include <algorithm>

#include "pg/session.h"
#include "support/private_postgres.h"
#include "support/watched_connection.h"

namespace messaging::pg {
namespace {

using test::empty_database;
using test::kOne;
using test::one_step;
using test::run_until;
using test::WatchedConnection;
using Answer = WatchedConnection::Answer;

constexpr Statement kEcho{"echo", "SELECT $1::text"};
constexpr Statement kInsert{"insert_value", "INSERT INTO kept (value) VALUES ($1::int)"};
constexpr Statement kCount{"count_kept", "SELECT count(*) FROM kept"};
constexpr Statement kDivide{"divide", "SELECT 1 / $1::int"};
constexpr Statement kSleep{"sleep", "SELECT pg_sleep($1::float8)"};
constexpr Statement kListen{"listen", "LISTEN ready"};
constexpr Statement kSetting{"setting", "SELECT current_setting($1::text)"};
constexpr Statement kNonsense{"nonsense", "SELECT no_such_column"};

std::string database_with_table() {
    const std::string url = empty_database();
    auto session = Session::connect(url, "pg_test");
    EXPECT_TRUE(session.ok());
    EXPECT_TRUE(session->execute_script("CREATE TABLE kept (value int)").ok());
    return url;
}

TEST(PgConnection, AnswersAUnitWithTheRowsOfEachStep) {
    WatchedConnection watched(database_with_table());
    ASSERT_TRUE(watched.start_and_wait());
    Steps steps = one_step(kEcho, Params().text("Grüße"));
    steps.push_back({&kInsert, Params().integer(5)});
    steps.push_back({&kInsert, Params().integer(6)});
    steps.push_back({&kCount, {}});
    const auto answer = watched.run(std::move(steps));
    ASSERT_TRUE(answer && answer->ok()) << answer->error().message;
    const auto& rows = answer->value();
    ASSERT_EQ(rows.size(), 4u);
    EXPECT_EQ(rows[0].text(0, 0), "Grüße");
    EXPECT_EQ(rows[1].affected(), 1);
    EXPECT_EQ(rows[2].affected(), 1);
    EXPECT_EQ(rows[3].bigint(0, 0), 2);
}

TEST(PgConnection, RollsAFailedUnitBackAsAWhole) {
    WatchedConnection watched(database_with_table());
    ASSERT_TRUE(watched.start_and_wait());
    Steps steps = one_step(kInsert, Params().integer(1));
    steps.push_back({&kDivide, Params().integer(0)});
    steps.push_back({&kInsert, Params().integer(2)});
    const auto answer = watched.run(std::move(steps));
    ASSERT_TRUE(answer && !answer->ok());
    EXPECT_EQ(answer->error().sqlstate, "22012");
    EXPECT_EQ(answer->error().kind, core::ErrorKind::kInvalid);
    EXPECT_EQ(answer->error().message, "division by zero");
    EXPECT_EQ(watched.run_text(kCount), "0");
    EXPECT_TRUE(watched.downs.empty());
}

TEST(PgConnection, AnswersUnitsInFlightInOrderAndEachByItself) {
    WatchedConnection watched(database_with_table());
    ASSERT_TRUE(watched.start_and_wait());
    std::vector<std::string> order;
    const auto remember = [&](const char* name) {
        return [&order, name](const Answer& answer) { order.push_back(name + std::string(answer.ok() ? " ok" : " failed")); };
    };
    watched.connection->execute(one_step(kSleep, Params().text("0.05")), remember("first"));
    watched.connection->execute(one_step(kDivide, Params().integer(0)), remember("second"));
    watched.connection->execute(one_step(kInsert, Params().integer(1)), remember("third"));
    watched.connection->execute(one_step(kOne), remember("fourth"));
    ASSERT_TRUE(run_until(watched.loop, [&] { return order.size() == 4; }));
    EXPECT_EQ(order, (std::vector<std::string>{"first ok", "second failed", "third ok", "fourth ok"}));
    EXPECT_EQ(watched.run_text(kCount), "1");
}

// A unit that fails must not take prepared statements away from units that were sent while it ran.
TEST(PgConnection, AFailedStepLeavesTheUnitsStatementsPrepared) {
    WatchedConnection watched(database_with_table());
    ASSERT_TRUE(watched.start_and_wait());
    std::vector<bool> outcomes;
    Steps steps = one_step(kDivide, Params().integer(0));
    steps.push_back({&kInsert, Params().integer(1)});
    watched.connection->execute(std::move(steps), [&](const Answer& answer) { outcomes.push_back(answer.ok()); });
    watched.connection->execute(one_step(kInsert, Params().integer(2)),
                                [&](const Answer& answer) { outcomes.push_back(answer.ok()); });
    ASSERT_TRUE(run_until(watched.loop, [&] { return outcomes.size() == 2; }));
    EXPECT_EQ(outcomes, (std::vector<bool>{false, true}));
    EXPECT_EQ(watched.run_text(kCount), "1");
}

TEST(PgConnection, AStatementThatCannotBePreparedIsTriedAnew) {
    WatchedConnection watched(empty_database());
    ASSERT_TRUE(watched.start_and_wait());
    const auto broken = watched.run(one_step(kNonsense));
    ASSERT_TRUE(broken && !broken->ok());
    EXPECT_EQ(broken->error().sqlstate, "42703");
    EXPECT_FALSE(watched.run(one_step(kCount))->ok());  // the table is not there yet
    auto session = Session::connect(watched.options.url, "pg_test");
    ASSERT_TRUE(session->execute_script("CREATE TABLE kept (value int)").ok());
    EXPECT_EQ(watched.run_text(kCount), "0");
}

TEST(PgConnection, CarriesLargeUnitsInBothDirections) {
    WatchedConnection watched(empty_database());
    ASSERT_TRUE(watched.start_and_wait());
    const std::string large(8 * 1024 * 1024, 'x');
    int answered = 0;
    for (int i = 0; i < 4; ++i) {
        watched.connection->execute(one_step(kEcho, Params().text(large)), [&](const Answer& answer) {
            ASSERT_TRUE(answer.ok()) << answer.error().message;
            EXPECT_EQ(answer.value()[0].text(0, 0).size(), large.size());
            ++answered;
        });
    }
    EXPECT_TRUE(run_until(watched.loop, [&] { return answered == 4; }));
}

TEST(PgConnection, TellsOfNotificationsWhileItIsIdle) {
    const std::string url = empty_database();
    WatchedConnection watched(url);
    ASSERT_TRUE(watched.start_and_wait());
    ASSERT_TRUE(watched.run(one_step(kListen))->ok());
    auto session = Session::connect(url, "pg_test");
    ASSERT_TRUE(session->execute_script("NOTIFY ready").ok());
    ASSERT_TRUE(run_until(watched.loop, [&] { return watched.notified.size() == 1; }));
    ASSERT_TRUE(session->execute_script("NOTIFY other; NOTIFY ready").ok());
    ASSERT_TRUE(run_until(watched.loop, [&] { return watched.notified.size() == 2; }));
    EXPECT_EQ(watched.notified, (std::vector<std::string>{"ready", "ready"}));
}

TEST(PgConnection, SendsItsSettingsAndNameWithTheStartUp) {
    WatchedConnection watched(empty_database());
    watched.options.settings = {{"enable_seqscan", "off"}, {"search_path", "\"a b\", \"c\\d\""}};
    ASSERT_TRUE(watched.start_and_wait());
    EXPECT_EQ(watched.run_text(kSetting, Params().text("enable_seqscan")), "off");
    EXPECT_EQ(watched.run_text(kSetting, Params().text("search_path")), "\"a b\", \"c\\d\"");
    EXPECT_EQ(watched.run_text(kSetting, Params().text("application_name")), "pg_test");
}

// A stranger's finding: libpq printed it, and the loop stood still until somebody read the log.
TEST(PgConnection, WhatTheServerRemarksOnWhileConnectingIsNotPrinted) {
    const std::string url = empty_database();
    {
        auto session = Session::connect(url, "pg_test");
        ASSERT_TRUE(session.ok());
        const std::string database(session->execute("SELECT current_database()", {})->text(0, 0));
        ASSERT_TRUE(session->execute_script("CREATE ROLE gone; ALTER DATABASE " + database + " SET role = gone").ok());
        ASSERT_TRUE(session->execute_script("DROP ROLE gone").ok());
    }
    testing::internal::CaptureStderr();
    const auto printing = Session::connect(url, "pg_test");
    EXPECT_NE(testing::internal::GetCapturedStderr().find("WARNING"), std::string::npos) << "a program for people shows it";
    WatchedConnection watched(url);
    testing::internal::CaptureStderr();
    EXPECT_TRUE(watched.start_and_wait());
    EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST(PgConnection, RefusesWorkWhileItIsNotUpAndDoesSoLater) {
    WatchedConnection watched(empty_database());
    watched.start();
    EXPECT_FALSE(watched.connection->up());
    const auto answer = watched.run(one_step(kOne));
    ASSERT_TRUE(answer && !answer->ok());
    EXPECT_EQ(answer->error().kind, core::ErrorKind::kUnavailable);
    EXPECT_FALSE(watched.completed_inside_call);
}

// Without bounds 5,744 waiting requests of the API took 460 MB.
TEST(PgConnection, RefusesWhatIsTooMuchBesideWhatWaits) {
    WatchedConnection watched(empty_database());
    watched.options.max_waiting_units = 3;
    watched.options.max_waiting_bytes = 1000;
    ASSERT_TRUE(watched.start_and_wait());
    std::vector<std::string> answers;
    const auto send = [&](std::size_t bytes) {
        watched.connection->execute(one_step(kEcho, Params().text(std::string(bytes, 'a'))), [&](const Answer& answer) {
            answers.push_back(answer.ok() ? "done" : answer.error().kind == core::ErrorKind::kBusy ? "busy" : "failed");
        });
    };
    const auto sent = [&](const std::vector<std::size_t>& sizes) {
        answers.clear();
        for (const std::size_t bytes : sizes) send(bytes);
        EXPECT_TRUE(run_until(watched.loop, [&] { return answers.size() == sizes.size(); }));
        std::sort(answers.begin(), answers.end());
        return answers;
    };
    using Answers = std::vector<std::string>;
    EXPECT_EQ(sent({5000}), (Answers{"done"})) << "alone, a unit of any size";
    EXPECT_EQ(sent({600, 600, 400}), (Answers{"busy", "done", "done"})) << "by bytes";
    EXPECT_EQ(sent({1, 1, 1, 1, 1}), (Answers{"busy", "busy", "done", "done", "done"})) << "by number";
    EXPECT_EQ(sent({500, 500}), (Answers{"done", "done"})) << "what is answered waits no longer";
}

TEST(PgConnection, DestroyingItDropsWhatIsPending) {
    WatchedConnection watched(empty_database());
    ASSERT_TRUE(watched.start_and_wait());
    bool called = false;
    watched.connection->execute(one_step(kOne), [&](const Answer&) { called = true; });
    watched.connection.reset();
    for (int i = 0; i < 10; ++i) test::run_once(watched.loop);
    EXPECT_FALSE(called);
}

TEST(PgConnection, MayBeDestroyedInItsOwnCompletion) {
    WatchedConnection watched(empty_database());
    ASSERT_TRUE(watched.start_and_wait());
    bool first = false;
    bool second = false;
    watched.connection->execute(one_step(kOne), [&](const Answer&) {
        first = true;
        watched.connection.reset();
    });
    watched.connection->execute(one_step(kOne), [&](const Answer&) { second = true; });
    ASSERT_TRUE(run_until(watched.loop, [&] { return first; }));
    for (int i = 0; i < 10; ++i) test::run_once(watched.loop);
    EXPECT_FALSE(second);
}

TEST(PgConnection, MayBeDestroyedInAnyOfItsEvents) {
    const std::string url = empty_database();
    for (const std::string event : {"up", "down", "failed", "notify"}) {
        loop::EventLoop loop;
        test::FixedRandom random;
        ConnectionOptions options;
        options.url = event == "failed" ? "host=/no-such-directory" : url;
        std::unique_ptr<Connection> connection;
        bool destroyed = false;
        bool up = false;
        const auto destroy_at = [&](const std::string& name) {
            if (name != event) return;
            connection.reset();
            destroyed = true;
        };
        connection = std::make_unique<Connection>(
            loop, random, options,
            Connection::Events{[&] {
                                   up = true;
                                   destroy_at("up");
                               },
                               [&](const core::Error&) { destroy_at("down"); }, [&](const core::Error&) { destroy_at("failed"); },
                               [&](const std::string&) { destroy_at("notify"); }});
        connection->start();
        if (event == "down" || event == "notify") {
            ASSERT_TRUE(run_until(loop, [&] { return up; }));
            if (event == "down") {
                const std::string end = "SELECT pg_terminate_backend(" + std::to_string(connection->backend_pid()) + ")";
                ASSERT_TRUE(Session::connect(url, "pg_test")->execute(end.c_str()).ok());
            } else {
                bool listening = false;
                connection->execute(one_step(kListen), [&](const Answer&) { listening = true; });
                ASSERT_TRUE(run_until(loop, [&] { return listening; }));
                ASSERT_TRUE(Session::connect(url, "pg_test")->execute_script("NOTIFY ready").ok());
            }
        }
        ASSERT_TRUE(run_until(loop, [&] { return destroyed; })) << event;
        for (int i = 0; i < 5; ++i) test::run_once(loop);
    }
}

}  // namespace
}  // namespace messaging::pg
