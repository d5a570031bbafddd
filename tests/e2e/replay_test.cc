// Replays with the real service: over a kill and a restart, shared by processes, and behind fresh messages.
#include <gtest/gtest.h>

#include <csignal>
#include <cstdio>

#include "support/private_postgres.h"
#include "support/stores.h"
#include "support/world.h"

namespace messaging::test {
namespace {

constexpr std::chrono::seconds kPatience{120};

class ReplayTest : public testing::Test {
protected:
    std::unique_ptr<Service> serve(const Receiver& receiver) {
        return std::make_unique<Service>(Environment{{"WEBHOOK_URL", receiver.url()}}, database_);
    }
    std::string sql(const std::string& text) {
        const auto rows = session_.execute(text.c_str());
        EXPECT_TRUE(rows.ok()) << text << ": " << (rows ? "" : rows.error().message);
        return rows && rows->size() > 0 && !rows->is_null(0, 0) ? std::string(rows->text(0, 0)) : "";
    }
    long number(const std::string& text) { return std::stol(sql(text)); }
    // As if they had been sent long ago.
    void insert_sent(int count, const std::string& endpoint = "1") {
        sql("INSERT INTO messages (recipient, content, endpoint_id, is_sent) SELECT 'old', 'x', " + endpoint +
            ", true FROM generate_series(1, " + std::to_string(count) + ")");
    }
    bool is_done() { return sql("SELECT bool_and(state = 'done') FROM messaging.replays") == "t"; }
    void expect_each_once(int count) {
        EXPECT_EQ(number("SELECT replayed FROM messaging.replays"), count);
        EXPECT_EQ(number("SELECT count(*) FROM messages WHERE is_sent AND generation % 128 = 1"), count);
        EXPECT_EQ(sql("SELECT string_agg(id::text, ' ') FROM messaging.misplaced()"), "");
    }
    // Inserts messages one after another, and answers the milliseconds from the INSERT to the record of the answer: the one that
    // so many percent of them do not exceed.
    double fresh_ms(int count, int percent, const std::string& endpoint = "1") {
        sql("DELETE FROM messages WHERE recipient = 'fresh'");
        for (int i = 0; i < count; ++i) {
            sql("INSERT INTO messages (recipient, content, endpoint_id) VALUES ('fresh', 'x', " + endpoint + ")");
            sql("SELECT pg_sleep(0.02)");
        }
        EXPECT_TRUE(wait_until(
            [&] { return number("SELECT count(*) FROM messages WHERE recipient = 'fresh' AND NOT is_sent") == 0; }, kPatience));
        return std::stod(sql("SELECT percentile_cont(" + std::to_string(percent) +
                             " / 100.0) WITHIN GROUP (ORDER BY extract(epoch FROM sent_at - created_at))"
                             " * 1000 FROM messages WHERE recipient = 'fresh'"));
    }

    std::string database_ = migrated(empty_database());
    pg::Session session_ = connect_or_abort(database_);
};

TEST_F(ReplayTest, SurvivesAKillAndARestart) {
    constexpr int kMessages = 3000;
    const Receiver receiver;
    insert_sent(kMessages);
    auto service = serve(receiver);
    sql("SELECT messaging.replay('default', 'sent')");
    for (const int so_far : {200, 1000}) {
        ASSERT_TRUE(wait_until([&] { return number("SELECT replayed FROM messaging.replays") > so_far; }, kPatience));
        service->send(SIGKILL);
        service->wait();
        EXPECT_EQ(sql("SELECT state FROM messaging.replays"), "running");
        service = serve(receiver);
    }
    ASSERT_TRUE(wait_until([&] { return is_done(); }, kPatience));
    ASSERT_TRUE(wait_until([&] { return number("SELECT count(*) FROM messages WHERE NOT is_sent") == 0; }, kPatience));
    expect_each_once(kMessages);
    EXPECT_EQ(receiver.stat("distinct"), kMessages);
}

TEST_F(ReplayTest, ProcessesShareIt) {
    constexpr int kMessages = 2000;
    const Receiver receiver;
    insert_sent(kMessages);
    const auto first = serve(receiver);
    const auto second = serve(receiver);
    sql("SELECT messaging.replay('default', 'sent')");
    ASSERT_TRUE(wait_until([&] { return is_done(); }, kPatience));
    expect_each_once(kMessages);
    const auto by = [](const Service& service) { return service.metric("messaging_replayed_messages_total"); };
    EXPECT_TRUE(wait_until([&] { return by(*first) + by(*second) == kMessages; }));
    EXPECT_TRUE(wait_until([&] { return first->metric("messaging_replays_running") == 0; }));
    EXPECT_EQ(receiver.stat("received"), kMessages);
}

TEST_F(ReplayTest, FreshMessagesAreNotDelayed) {
    constexpr int kMessages = 40'000;
    constexpr int kFresh = 100;
    const Receiver receiver;
    insert_sent(kMessages);
    const auto service = serve(receiver);
    const double before = fresh_ms(kFresh, 50);
    sql("SELECT messaging.replay('default', 'sent', until => now() - interval '1 second')");
    sql("UPDATE messaging._replay SET last_id = " + std::to_string(kMessages));
    ASSERT_TRUE(wait_until([&] { return number("SELECT replayed FROM messaging.replays") > 500; }, kPatience));
    const double median = fresh_ms(kFresh, 50);
    const double worst =
        std::stod(sql("SELECT extract(epoch FROM max(sent_at - created_at)) * 1000 FROM messages WHERE recipient = 'fresh'"));
    EXPECT_EQ(sql("SELECT state FROM messaging.replays"), "running") << "the replay must outlast the measurement";
    std::printf("a fresh message takes %.1f ms, and %.1f ms beside a replay (%.1f at most), which has replayed %s\n", before,
                median, worst, sql("SELECT replayed FROM messaging.replays").c_str());
    // In the queue before them, the 40,000 messages would take seconds.
    EXPECT_LT(median, before + 50);
    EXPECT_LT(worst, 1000);
}

TEST_F(ReplayTest, NorAreThoseOfAnEndpointThatIsSlow) {
    const Receiver receiver;
    sql("INSERT INTO messaging.endpoints (name, url, max_in_flight) VALUES ('slow', '" + receiver.url() + "?delay=50ms', 2)");
    insert_sent(1000, "2");
    const auto service = serve(receiver);
    const double before = fresh_ms(20, 50, "2");
    sql("SELECT messaging.replay('slow', 'sent')");
    sql("UPDATE messaging._replay SET last_id = 1000");
    ASSERT_TRUE(wait_until([&] { return number("SELECT replayed FROM messaging.replays") > 10; }, kPatience));
    const double beside = fresh_ms(20, 50, "2");
    EXPECT_EQ(sql("SELECT state FROM messaging.replays"), "running");
    std::printf("a fresh message takes %.1f ms, and %.1f ms beside a replay\n", before, beside);
    EXPECT_LT(beside, before + 500) << "all 1,000 before it would take 25 s";
    sql("SELECT messaging.cancel_replay(1)");
}

TEST_F(ReplayTest, AStopStopsItTooAndAStartGoesOn) {
    const Receiver receiver;
    insert_sent(200);
    const auto service = serve(receiver);
    sql("SELECT messaging.stop()");
    sql("SELECT messaging.replay('default', 'sent')");
    ASSERT_TRUE(wait_until([&] { return number("SELECT replayed FROM messaging.replays") > 0; }));
    sql("SELECT pg_sleep(0.5)");
    EXPECT_LE(number("SELECT replayed FROM messaging.replays"), 8) << "what it has added waits";
    sql("SELECT messaging.start()");
    EXPECT_TRUE(wait_until([&] { return is_done(); }, kPatience));
    expect_each_once(200);
}

}  // namespace
}  // namespace messaging::test
