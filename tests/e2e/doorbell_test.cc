// The doorbell with real inserters, engines and deaths: nobody's message waits for the fallback timer.
#include <gtest/gtest.h>

#include <csignal>
#include <random>
#include <thread>

#include "support/world.h"

namespace messaging::test {
namespace {

using std::chrono::milliseconds;

double missed_notifications(const Service& service) {
    return sample(call("GET", service.url("/metrics")).body, "messaging_missed_notifications_total");
}

// The process id inside the name of the engine that sleeps with the lock; 0 when none does.
pid_t holder(Service& service) {
    const std::string name = service.sql(
        "SELECT i.name FROM pg_locks bell JOIN pg_locks life ON life.pid = bell.pid AND life.classid = 772 AND life.locktype = "
        "'advisory' "
        "JOIN messaging._instance i ON i.instance_id = life.objid::bigint "
        "WHERE bell.locktype = 'advisory' AND bell.classid = 771 AND bell.mode = 'ExclusiveLock' AND bell.granted "
        "AND bell.database = (SELECT oid FROM pg_database WHERE datname = current_database())");
    const auto colon = name.rfind(':');
    return name.empty() ? 0 : std::stoi(name.substr(colon + 1));
}

// Transactions of every length, with pauses that let the engines fall asleep between them.
void insert_at_random(const std::string& url, unsigned seed, std::chrono::seconds duration, int& inserted) {
    std::mt19937 random(seed);
    auto session = pg::Session::connect(url, "inserter");
    ASSERT_TRUE(session.ok());
    const auto end = std::chrono::steady_clock::now() + duration;
    while (std::chrono::steady_clock::now() < end) {
        const std::string open = std::to_string(static_cast<double>(random() % 3000) / 1e6);
        const std::string pause = std::to_string(static_cast<double>(random() % 20000) / 1e6);
        ASSERT_TRUE(
            session->execute_script("BEGIN; INSERT INTO messages (recipient, content) VALUES ('a', 'b'); SELECT pg_sleep(" +
                                    open + "); COMMIT; SELECT pg_sleep(" + pause + ")"));
        ++inserted;
    }
}

TEST(Doorbell, NoMessageWaitsForTheFallback) {
    const Receiver receiver;
    Service first({{"WEBHOOK_URL", receiver.url()}});
    Service second({{"WEBHOOK_URL", receiver.url()}, {"ENGINES", "2"}}, first.database_url());
    ASSERT_TRUE(wait_until([&] { return holder(first) != 0; })) << "idle engines sleep, one of them with the lock";
    std::vector<int> inserted(4);
    std::vector<std::thread> inserters;
    for (unsigned i = 0; i < inserted.size(); ++i) {
        inserters.emplace_back([&, i] { insert_at_random(first.database_url(), i, std::chrono::seconds(5), inserted[i]); });
    }
    for (auto& inserter : inserters) inserter.join();
    int all = 0;
    for (const int count : inserted) all += count;
    EXPECT_GT(all, 200);
    EXPECT_TRUE(wait_until([&] { return receiver.stat("distinct") == all; }));
    EXPECT_EQ(receiver.stat("duplicates"), 0);
    EXPECT_EQ(missed_notifications(first), 0);
    EXPECT_EQ(missed_notifications(second), 0);
}

TEST(Doorbell, AnInsertThatIsOpenWhenTheEngineSleepsRingsAtItsCommit) {
    const Receiver receiver;
    Service service({{"WEBHOOK_URL", receiver.url()}});
    ASSERT_TRUE(wait_until([&] { return holder(service) != 0; }));
    auto open = pg::Session::connect(service.database_url(), "inserter");
    ASSERT_TRUE(open.ok());
    ASSERT_TRUE(open->execute_script("BEGIN; INSERT INTO messages (recipient, content) VALUES ('a', 'b')").ok());
    EXPECT_NE(holder(service), 0) << "the inserter was refused, so it rings at its commit";
    ASSERT_TRUE(open->execute_script("COMMIT").ok());
    EXPECT_TRUE(wait_until([&] { return receiver.stat("distinct") == 1; }));
    EXPECT_TRUE(wait_until([&] { return holder(service) != 0; })) << "asleep again";
}

TEST(Doorbell, AKilledHolderIsFollowedByTheOther) {
    const Receiver receiver;
    Service first({{"WEBHOOK_URL", receiver.url()}});
    Service second({{"WEBHOOK_URL", receiver.url()}}, first.database_url());
    pid_t dead = 0;
    ASSERT_TRUE(wait_until([&] { return (dead = holder(first)) != 0; }));
    Service& killed = dead == first.pid() ? first : second;
    Service& left = dead == first.pid() ? second : first;
    ASSERT_TRUE(dead == killed.pid());
    killed.send(SIGKILL);
    killed.wait();
    left.sql("INSERT INTO messages (recipient, content) VALUES ('a', 'b')");
    EXPECT_TRUE(wait_until([&] { return receiver.stat("distinct") == 1; }, milliseconds(3000)))
        << "by the fallback at the latest";
    EXPECT_TRUE(wait_until([&] { return holder(left) == left.pid(); }));
}

TEST(Doorbell, AStoppedHolderDoesNotKeepTheOthersAsleep) {
    const Receiver receiver;
    Service first({{"WEBHOOK_URL", receiver.url()}});
    Service second({{"WEBHOOK_URL", receiver.url()}}, first.database_url());
    pid_t stopped = 0;
    ASSERT_TRUE(wait_until([&] { return (stopped = holder(first)) != 0; }));
    Service& unresponsive = stopped == first.pid() ? first : second;
    Service& left = stopped == first.pid() ? second : first;
    unresponsive.send(SIGSTOP);
    for (int i = 1; i <= 20; ++i) {
        left.sql("INSERT INTO messages (recipient, content) VALUES ('a', 'b')");
        EXPECT_TRUE(wait_until([&] { return receiver.stat("distinct") == i; }));
    }
    EXPECT_EQ(left.sql("SELECT count(*) FROM messages WHERE sent_at - created_at > interval '700 milliseconds'"), "0")
        << "notified by the inserters, not found by the poll";
    unresponsive.send(SIGCONT);
}

}  // namespace
}  // namespace messaging::test
