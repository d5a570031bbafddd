// Notifications and triggers that fail: what was queued without a word, and what was not even queued, is sent all the same.
#include <gtest/gtest.h>

#include <chrono>

#include "support/private_postgres.h"
#include "support/stores.h"
#include "support/tally.h"
#include "support/world.h"

namespace messaging::test {
namespace {

using std::chrono::seconds;

constexpr const char* kReconciled = "messaging_reconciled_messages_total";
constexpr const char* kByFallback = "messaging_missed_notifications_total";
// The engine's listen session holds the doorbell's lock, and the last poll, which the claim session makes after that, is over.
constexpr const char* kAsleep =
    "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity listen ON listen.pid = l.pid "
    "JOIN pg_stat_activity claim ON claim.datname = listen.datname AND claim.application_name LIKE 'messaging claim%' "
    "WHERE l.locktype = 'advisory' AND l.classid = 771 AND l.mode = 'ExclusiveLock' AND l.granted "
    "AND listen.datname = current_database() AND claim.state = 'idle' AND claim.query_start > listen.query_start";

class Notifications : public testing::Test {
protected:
    static std::string insert(int count) {
        return "INSERT INTO messages (recipient, content) SELECT 'a', 'b' FROM generate_series(1, " + std::to_string(count) +
               "); ";
    }
    static SteadyTime now() { return std::chrono::steady_clock::now(); }
    void script(const std::string& sql) {
        auto session = connect_or_abort(database_);
        const auto done = session.execute_script(sql);
        ASSERT_TRUE(done.ok()) << done.error().message;
    }
    void expect_all_arrive(Tally& tally, std::size_t count, std::chrono::milliseconds within, SteadyTime since) {
        EXPECT_TRUE(receiver_.wait_for_distinct(count, within + seconds(30)));
        tally.expect_no_longer_than(within, since);
        tally.expect_settled();
    }

    ScriptedReceiver receiver_;
    std::string database_ = migrated(empty_database());
    Service service_{{{"WEBHOOK_URL", receiver_.url()}}, database_};
};

TEST_F(Notifications, AListeningSessionKilledAgainAndAgainLosesNothing) {
    Tally tally("the listening session killed ten times", database_, receiver_);
    for (int round = 1; round <= 10; ++round) {
        script(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name "
            "LIKE 'messaging listen%'");
        const SteadyTime inserted = now();
        script(insert(20));
        EXPECT_TRUE(receiver_.wait_for_distinct(static_cast<std::size_t>(round) * 20));
        tally.expect_no_longer_than(seconds(5), inserted);
    }
    tally.expect_recovered();
    tally.expect_none_lost(0);
}

TEST_F(Notifications, WhatIsQueuedWithoutARingIsFoundByTheFallback) {
    Tally tally("queued without a notification", database_, receiver_);
    ASSERT_TRUE(wait_until([this] { return service_.sql(kAsleep) == "1"; })) << "its engine sleeps, with the doorbell's lock";
    const SteadyTime inserted = now();
    script("SET session_replication_role = replica; " + insert(10) + "INSERT INTO messaging._queue (id) SELECT id FROM messages");
    expect_all_arrive(tally, 10, seconds(3), inserted);
    EXPECT_TRUE(wait_until([&] { return service_.metric(kByFallback) == 10; })) << "and the operator is told";
    EXPECT_EQ(service_.metric(kReconciled), 0);
    tally.expect_recovered();
    tally.expect_none_lost(0);
}

TEST_F(Notifications, AFloodThatAnybodyMaySendDelaysNoMessage) {
    Tally tally("20,000 control notifications, with 3,000 endpoints", database_, receiver_);
    script("INSERT INTO messaging.endpoints (name, url) SELECT 'e' || g, 'http://127.0.0.1:1/' FROM generate_series(1, 3000) g");
    ASSERT_TRUE(wait_until([this] { return service_.sql("SELECT count(*) FROM messaging._endpoint_secret") == "3000"; }));
    script("DO $$ BEGIN FOR i IN 1 .. 20000 LOOP NOTIFY messaging_control; COMMIT; END LOOP; END $$");
    const SteadyTime inserted = now();
    script(insert(100));
    expect_all_arrive(tally, 100, seconds(2), inserted);
    tally.expect_recovered();
    tally.expect_none_lost(0);
}

TEST_F(Notifications, WhatCamePastTheTriggerIsFoundByReconcileWithinAMinute) {
    Tally tally("inserted past the trigger", database_, receiver_);
    script(insert(5));
    const SteadyTime inserted = now();
    script("SET session_replication_role = replica; " + insert(1000));
    script("ALTER TABLE messages DISABLE TRIGGER messaging_insert; " + insert(10) +
           "ALTER TABLE messages ENABLE TRIGGER messaging_insert");
    expect_all_arrive(tally, 1015, seconds(60), inserted);
    EXPECT_EQ(service_.metric(kReconciled), 1010);
    EXPECT_NE(service_.output().find("inserted without the trigger"), std::string::npos);
    tally.expect_recovered();
    tally.expect_none_lost(0);
}

}  // namespace
}  // namespace messaging::test
