// Several processes on one database: started, ended, stopped in their tracks and set going again, under load.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <memory>
#include <vector>

#include "engine/endpoint_queues.h"
#include "support/private_postgres.h"
#include "support/stores.h"
#include "support/tally.h"
#include "support/world.h"

namespace messaging::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr const char* kDelivered = "messaging_deliveries_total{outcome=\"delivered\"}";

ScriptedReceiver::Script answer_after(milliseconds delay) {
    ScriptedAnswer answer;
    answer.delay = delay;
    return ScriptedReceiver::always(answer);
}

Environment to(const ScriptedReceiver& receiver) { return {{"WEBHOOK_URL", receiver.url()}}; }

TEST(Processes, TermUnderLoadLosesAndRepeatsNothing) {
    ScriptedReceiver receiver(answer_after(milliseconds(30)));
    const std::string database = migrated(empty_database());
    Tally tally("SIGTERM under load", database, receiver);
    commit_messages(database, 6000);
    for (std::size_t round = 1; round <= 3; ++round) {
        Service service(to(receiver), database);
        ASSERT_TRUE(receiver.wait_for(round * 1000));
        service.send(SIGTERM);
        EXPECT_EQ(service.wait(), 0) << service.output();
        EXPECT_EQ(tally.exposed(), 0) << "what was in flight has been recorded";
    }
    const SteadyTime restarted = std::chrono::steady_clock::now();
    const Service last(to(receiver), database);
    tally.expect_sending_resumes(restarted, seconds(2));
    tally.expect_settled();
    tally.expect_recovered();
    tally.expect_none_lost(0);
}

TEST(Processes, ARollingRestartOfThreeLosesAndRepeatsNothing) {
    ScriptedReceiver receiver(answer_after(milliseconds(30)));
    const std::string database = migrated(empty_database());
    Tally tally("rolling restart of 3", database, receiver);
    std::vector<std::unique_ptr<Service>> services;
    for (int i = 0; i < 3; ++i) services.push_back(std::make_unique<Service>(to(receiver), database));
    for (auto& service : services) {
        commit_messages(database, 4000);
        ASSERT_TRUE(receiver.wait_for(receiver.count() + 500));
        service->send(SIGTERM);
        EXPECT_EQ(service->wait(), 0) << service->output();
        service = std::make_unique<Service>(to(receiver), database);
    }
    tally.expect_settled();
    tally.expect_recovered();
    tally.expect_none_lost(0);
}

TEST(Processes, ASecondSignalExitsAtOnce) {
    ScriptedAnswer hang;
    hang.hang = true;
    ScriptedReceiver receiver(ScriptedReceiver::always(hang));
    const std::string database = migrated(empty_database());
    Tally tally("second signal", database, receiver);
    {
        Service service(to(receiver), database);
        commit_messages(database, engine::kFirstLimit);
        ASSERT_TRUE(receiver.wait_for(engine::kFirstLimit));
        service.send(SIGTERM);
        ASSERT_TRUE(wait_until([&] { return service.output().find("stopping") != std::string::npos; }));
        const SteadyTime second = std::chrono::steady_clock::now();
        service.send(SIGTERM);
        EXPECT_EQ(service.wait(), 130);
        EXPECT_LT(std::chrono::steady_clock::now() - second, seconds(1));
    }
    receiver.set_script(ScriptedReceiver::accept_all());
    const SteadyTime restarted = std::chrono::steady_clock::now();
    const Service next(to(receiver), database);
    tally.expect_sending_resumes(restarted, seconds(2));
    tally.expect_settled();
    tally.expect_recovered();
    tally.expect_none_lost(10);
}

// As `messaging serve | less` in a terminal that nobody scrolls: the loops stood in write(), and no signal ended the process.
TEST(Processes, ALogThatNobodyReadsHoldsUpNeitherTheSendingNorTheEnd) {
    ScriptedReceiver receiver(ScriptedReceiver::accept_all());
    const std::string database = migrated(empty_database());
    const TemporaryDirectory directory;
    const std::string pipe = directory.path() + "/log";
    ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
    const int unread = open(pipe.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
    ASSERT_EQ(fcntl(unread, F_SETPIPE_SZ, 4096), 4096);
    Environment environment = to(receiver);
    const int port = free_port();
    environment.insert({{"LOG_LEVEL", "debug"}, {"PORT", std::to_string(port)}});
    ProcessOptions options = Service::process(environment, database);
    options.output_file = pipe;
    const std::string url = "http://127.0.0.1:" + std::to_string(port);
    for (const bool hangs : {false, true}) {
        ScriptedAnswer hang;
        hang.hang = true;
        receiver.set_script(hangs ? ScriptedReceiver::always(hang) : ScriptedReceiver::accept_all());
        Process service(options);
        ASSERT_TRUE(wait_until([&] { return http_get(url + "/livez").status == 200; }));
        int answered = 0;
        for (int i = 0; i < 2000; ++i) answered += http_get(url + "/livez").status == 200 ? 1 : 0;
        EXPECT_EQ(answered, 2000);
        commit_messages(database, 5);
        ASSERT_TRUE(receiver.wait_for(hangs ? 10 : 5)) << "sending goes on";
        if (!hangs) {
            EXPECT_TRUE(
                wait_until([&] { return sample(http_get(url + "/metrics").body, "messaging_dropped_log_lines_total") > 0; }));
        }
        const SteadyTime told = std::chrono::steady_clock::now();
        service.send(SIGTERM);
        if (hangs) {
            wait_until([&] { return http_get(url + "/livez").status == 0; }, seconds(1));
            service.send(SIGTERM);
        }
        EXPECT_EQ(service.wait(), hangs ? 130 : 0);
        EXPECT_LT(std::chrono::steady_clock::now() - told, seconds(hangs ? 3 : 5));
    }
    close(unread);
}

TEST(Processes, FourOnOneDatabaseShareTheWorkAndSendEachMessageOnce) {
    ScriptedReceiver receiver(answer_after(milliseconds(20)));
    const std::string database = migrated(empty_database());
    Tally tally("4 processes, started and stopped under load", database, receiver);
    commit_messages(database, 20000);
    std::vector<std::unique_ptr<Service>> services;
    for (int i = 0; i < 3; ++i) services.push_back(std::make_unique<Service>(to(receiver), database));
    ASSERT_TRUE(receiver.wait_for(4000));
    services.push_back(std::make_unique<Service>(to(receiver), database));
    ASSERT_TRUE(receiver.wait_for(6000));
    services.front()->send(SIGTERM);
    EXPECT_EQ(services.front()->wait(), 0);
    services.front() = std::make_unique<Service>(to(receiver), database);
    tally.expect_settled();
    commit_messages(database, 8000);
    tally.expect_settled();
    for (const auto& service : services) {
        EXPECT_GT(service->metric(kDelivered), 8000 / 16.0) << "each has its share";
    }
    tally.expect_recovered();
    tally.expect_none_lost(0);
}

TEST(Processes, OneStoppedInItsTracksIsConsideredFailedAndComesBack) {
    ScriptedReceiver receiver(answer_after(milliseconds(300)));
    const std::string database = migrated(empty_database());
    Tally tally("SIGSTOP for 20 s, then SIGCONT", database, receiver);
    Service stopped(to(receiver), database);
    Service other(to(receiver), database);
    commit_messages(database, 3000);
    ASSERT_TRUE(wait_until([&] { return stopped.metric("messaging_in_flight_requests") > 0; }));
    const SteadyTime at = std::chrono::steady_clock::now();
    stopped.send(SIGSTOP);
    // The others' own share first; then only what the stopped one has claimed is left, and is reclaimed.
    ASSERT_TRUE(wait_until([&] { return other.metric("messaging_reclaimed_messages_total") > 0; }, seconds(20)));
    tally.expect_no_longer_than(seconds(15), at);
    receiver.set_script(ScriptedReceiver::accept_all());
    tally.expect_settled();
    ASSERT_TRUE(wait_until([&] { return std::chrono::steady_clock::now() > at + seconds(20); }, seconds(25)));
    stopped.send(SIGCONT);
    ASSERT_TRUE(wait_until([&] { return call("GET", stopped.url("/readyz")).status == 200; }));
    ASSERT_TRUE(wait_until([&] { return other.sql("SELECT count(*) FROM messaging._instance") == "2"; }))
        << other.sql("SELECT string_agg(i::text, ' ') FROM messaging._instance i") << "\n"
        << stopped.output() << "\n"
        << other.output();
    other.send(SIGTERM);
    EXPECT_EQ(other.wait(), 0);
    tally.expect_recovered();
    tally.expect_none_lost(64 + 64);
    EXPECT_GT(stopped.metric("messaging_reconnects_total{session=\"postgres_listen\"}"), 0);
}

}  // namespace
}  // namespace messaging::test
