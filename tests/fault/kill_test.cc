// kill -9: at random, between a response and its record, with and without another engine to reclaim, and by one message.
#include <gtest/gtest.h>

#include <atomic>
#include <csignal>
#include <random>

#include "engine/endpoint_queues.h"
#include "support/private_postgres.h"
#include "support/stores.h"
#include "support/tally.h"
#include "support/world.h"

namespace messaging::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

Environment to(const ScriptedReceiver& receiver, Environment more = {}) {
    more["WEBHOOK_URL"] = receiver.url();
    more.emplace("BACKOFF_BASE", "500ms");
    return more;
}

SteadyTime kill_now(Service& service) {
    const SteadyTime at = std::chrono::steady_clock::now();
    service.send(SIGKILL);
    EXPECT_EQ(service.wait(), 128 + SIGKILL);
    return at;
}

// No session of a service is left: its last transaction has been decided.
void wait_for_its_sessions(Service& service) {
    EXPECT_TRUE(wait_until([&] {
        return service.sql(
                   "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'messaging%' AND datname = "
                   "current_database()") == "0";
    }));
}

TEST(Kill, TwentyTimesWithinADrain) {
    ScriptedReceiver receiver;
    const std::string database = migrated(empty_database());
    Tally tally("20 x kill -9 in a drain", database, receiver);
    commit_messages(database, 20000);
    std::minstd_rand random(1);
    long exposed = 0;
    for (int round = 0; round < 20; ++round) {
        Service service(to(receiver), database);
        receiver.wait_for(receiver.count() + 1 + random() % 900, seconds(5));
        kill_now(service);
        wait_for_its_sessions(service);
        exposed += tally.exposed();
    }
    const Service last(to(receiver), database);
    tally.expect_settled();
    tally.expect_recovered();
    tally.expect_none_lost(exposed);
}

TEST(Kill, BetweenTheResponseAndItsRecord) {
    ScriptedReceiver receiver;
    const std::string database = migrated(empty_database());
    Tally tally("kill -9 between response and record", database, receiver);
    {
        Service service(to(receiver), database);
        auto blocker = connect_or_abort(database);
        ASSERT_EQ(call("POST", service.url("/stop")).status, 200);
        commit_messages(database, 200);
        ASSERT_TRUE(blocker.execute_script("BEGIN; LOCK TABLE messages IN SHARE MODE").ok());
        ASSERT_EQ(call("POST", service.url("/start")).status, 200);
        ASSERT_TRUE(wait_until([&] { return service.metric("messaging_deliveries_total{outcome=\"delivered\"}") == 200; }));
        EXPECT_EQ(tally.exposed(), 200);
        kill_now(service);
        wait_for_its_sessions(service);
    }
    const SteadyTime restarted = std::chrono::steady_clock::now();
    const Service next(to(receiver), database);
    tally.expect_sending_resumes(restarted, seconds(2));
    tally.expect_settled();
    tally.expect_recovered();
    tally.expect_none_lost(200);
    EXPECT_EQ(tally.duplicated(), 200) << "all had been answered, none recorded";
}

TEST(Kill, AnotherRunningProcessReclaims) {
    ScriptedReceiver receiver([](const http::Request&, std::size_t nth) {
        ScriptedAnswer answer;
        answer.hang = nth == 1;
        return answer;
    });
    const std::string database = migrated(empty_database());
    Tally tally("kill -9, another process runs", database, receiver);
    Service first(to(receiver), database);
    commit_messages(database, 1000);
    ASSERT_TRUE(receiver.wait_for(engine::kFirstLimit));
    const Service second(to(receiver), database);
    receiver.set_script(ScriptedReceiver::accept_all());
    const SteadyTime killed = kill_now(first);
    tally.expect_sending_resumes(killed, seconds(5));
    tally.expect_settled();
    tally.expect_recovered();
    tally.expect_none_lost(64);
}

TEST(Kill, ARestartReclaimsWithinTwoSeconds) {
    ScriptedReceiver receiver([](const http::Request&, std::size_t nth) {
        ScriptedAnswer answer;
        answer.hang = nth == 1;
        return answer;
    });
    const std::string database = migrated(empty_database());
    Tally tally("kill -9, restarted at once", database, receiver);
    {
        Service first(to(receiver), database);
        commit_messages(database, engine::kFirstLimit);
        ASSERT_TRUE(receiver.wait_for(engine::kFirstLimit));
        kill_now(first);
    }
    const SteadyTime restarted = std::chrono::steady_clock::now();
    const Service second(to(receiver), database);
    tally.expect_sending_resumes(restarted, seconds(2));
    tally.expect_settled();
    receiver.set_script(ScriptedReceiver::accept_all());
    tally.expect_recovered();
    tally.expect_none_lost(64);
}

TEST(Kill, AMessageThatKillsEnginesEndsAmongTheDeadAndTheOthersAreSent) {
    std::atomic<pid_t> victim{0};
    ScriptedReceiver receiver([&](const http::Request& request, std::size_t) {
        if (request.header("webhook-id").value_or("").find("_100_") != std::string::npos) kill(victim, SIGKILL);
        return ScriptedAnswer{};
    });
    const std::string database = migrated(empty_database());
    Tally tally("a message that kills engines", database, receiver);
    auto session = connect_or_abort(database);
    commit_messages(database, 1000);
    const SteadyTime begun = std::chrono::steady_clock::now();
    int deaths = 0;
    const auto dead = [&] {
        const auto rows = session.execute("SELECT count(*) FROM messaging._dead WHERE id = 100");
        return rows.ok() && rows->bigint(0, 0) == 1;
    };
    while (!dead() && std::chrono::steady_clock::now() < begun + seconds(120)) {
        // It may die before it is ready, so it is not waited for.
        ProcessOptions options = Service::process(to(receiver, {{"BACKOFF_BASE", "50ms"}}), database);
        Process service(options);
        victim = service.pid();
        wait_until([&] { return !service.running() || dead(); }, seconds(60));
        if (!service.running()) ++deaths;
        victim = 0;
    }
    EXPECT_EQ(deaths, 10);
    Service last(to(receiver), database);
    tally.expect_settled();
    tally.expect_recovered();
    EXPECT_EQ(last.sql("SELECT string_agg(id::text, ' ') FROM messaging._dead"), "100") << "no other message may die with it";
    EXPECT_EQ(last.sql("SELECT reason FROM messaging._dead"), "engines failed 10 times while they had the message");
    tally.expect_none_lost(10 * 1000);
}

}  // namespace
}  // namespace messaging::test
