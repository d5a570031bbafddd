// The audit in PostgreSQL: what had come past the trigger is queued once, and nothing else ever is.
#include <gtest/gtest.h>

#include "repository/audit_store.h"
#include "repository/queue_store.h"
#include "support/private_postgres.h"
#include "support/stores.h"

namespace messaging::repository {
namespace {

using service::AuditRound;
using test::Stores;

constexpr int kAllRows = 1'000'000;
constexpr const char* kPastTheTrigger = "SET session_replication_role = replica; ";

class Audit : public testing::Test {
protected:
    AuditRound round(int max_rows = kAllRows) {
        return db_.value<AuditRound>([&](auto done) { store_.audit(max_rows, std::move(done)); });
    }
    // The first round reads which ids there are, the second looks at them.
    std::size_t audited() {
        const std::size_t found = round().found;
        return found + round().found;
    }
    static std::string insert(int count, const std::string& sent = "false") {
        return "INSERT INTO messages (recipient, content, is_sent) SELECT 'a', 'b', " + sent + " FROM generate_series(1, " +
               std::to_string(count) + "); ";
    }
    pg::Session session() {
        auto session = pg::Session::connect(db_.url(), "application");
        EXPECT_TRUE(session.ok());
        return std::move(session.value());
    }
    void run(pg::Session& session, const std::string& sql) {
        const auto done = session.execute_script(sql);
        ASSERT_TRUE(done.ok()) << done.error().message;
    }
    void insert_past_the_trigger(int count) {
        pg::Session replica = session();
        run(replica, kPastTheTrigger + insert(count));
    }
    std::string queue() { return db_.sql("SELECT id FROM messaging._queue ORDER BY id"); }

    Stores db_{test::fresh_database()};
    PgAuditStore store_{db_.open_session(audit_session_settings())};
};

TEST_F(Audit, QueuesWhatCamePastTheTriggerOnce) {
    db_.sql(insert(2));
    insert_past_the_trigger(3);
    EXPECT_EQ(audited(), 3u);
    EXPECT_EQ(queue(), "1 2 3 4 5");
    EXPECT_EQ(audited(), 0u);
    EXPECT_EQ(queue(), "1 2 3 4 5");
}

TEST_F(Audit, ATriggerThatWasDisabledForAWhileLosesNothing) {
    db_.sql("ALTER TABLE messages DISABLE TRIGGER messages_enqueue");
    db_.sql(insert(2));
    db_.sql("ALTER TABLE messages ENABLE TRIGGER messages_enqueue");
    db_.sql(insert(1));
    EXPECT_EQ(audited(), 2u);
    EXPECT_EQ(queue(), "1 2 3");
}

TEST_F(Audit, LeavesAloneWhatIsSentScheduledDeadOrClaimed) {
    db_.sql(insert(6));
    PgQueueStore queue_store{db_.open_session(claim_session_settings()), db_.open_session(record_session_settings())};
    db_.value<service::ClaimBatch>([&](auto done) { queue_store.claim_ready({7, {}, 2}, std::move(done)); });
    db_.sql("DELETE FROM messaging._queue WHERE id IN (3, 4, 5)");
    db_.sql("INSERT INTO messaging._schedule VALUES (3, now() + interval '1 hour')");
    db_.sql("INSERT INTO messaging._dead (id, reason) VALUES (4, 'HTTP 500')");
    db_.sql("UPDATE messages SET is_sent = true WHERE id = 5");
    EXPECT_EQ(audited(), 0u);
    EXPECT_EQ(queue(), "6");
}

TEST_F(Audit, WaitsForATransactionThatHoldsALowerId) {
    pg::Session slow = session();
    run(slow, std::string("BEGIN; SET LOCAL session_replication_role = replica; ") + insert(1));
    insert_past_the_trigger(1);
    round();
    EXPECT_EQ(round().found, 0u) << "id 2 is there to be seen, but id 1 is not yet";
    run(slow, "COMMIT");
    EXPECT_EQ(audited(), 2u);
}

TEST_F(Audit, ATransactionThatBeganLaterHoldsUpNothing) {
    insert_past_the_trigger(1);
    round();
    pg::Session later = session();
    run(later, "BEGIN; " + insert(1));
    EXPECT_EQ(round().found, 1u);
    run(later, "COMMIT");
}

TEST_F(Audit, ReadsABoundedNumberOfRowsInARound) {
    insert_past_the_trigger(10);
    round();
    AuditRound next = round(4);
    EXPECT_EQ(next.found, 4u);
    EXPECT_TRUE(next.more);
    next = round(4);
    EXPECT_EQ(next.found, 4u);
    EXPECT_TRUE(next.more);
    next = round(4);
    EXPECT_EQ(next.found, 2u);
    EXPECT_FALSE(next.more);
    EXPECT_EQ(db_.number("SELECT count(DISTINCT id) FROM messaging._queue"), 10);
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._queue"), 10);
}

TEST_F(Audit, ReplicatedRowsBringIdsThatTheSequenceHasNotGivenOut) {
    pg::Session replica = session();
    run(replica, std::string(kPastTheTrigger) +
                     "INSERT INTO messages (id, recipient, content) OVERRIDING SYSTEM VALUE VALUES (1000, 'a', 'b')");
    EXPECT_EQ(audited(), 1u);
    EXPECT_EQ(queue(), "1000");
}

TEST_F(Audit, FromTheBeginningAgainWhenItIsTold) {
    db_.sql(insert(1, "true"));
    EXPECT_EQ(audited(), 0u);
    pg::Session replica = session();
    run(replica, std::string(kPastTheTrigger) + "UPDATE messages SET is_sent = false");
    EXPECT_EQ(audited(), 0u) << "a row is read once";
    db_.sql("UPDATE messaging._reconcile SET checked_to = 0");
    EXPECT_EQ(audited(), 1u);
}

TEST_F(Audit, TwoAtATimeDoNotQueueTwice) {
    insert_past_the_trigger(1);
    round();
    pg::Session other = session();
    run(other, "BEGIN; SELECT messaging_audit(1000)");
    const AuditRound mine = round();
    EXPECT_EQ(mine.found, 0u);
    EXPECT_FALSE(mine.more);
    run(other, "COMMIT");
    EXPECT_EQ(queue(), "1");
}

TEST_F(Audit, ItsCostDoesNotGrowWithTheArchive) {
    db_.sql(insert(100'000, "true"));
    pg::Session measuring = session();
    for (int i = 0; i < 2; ++i) run(measuring, "SELECT messaging_audit(100000)");
    db_.sql("VACUUM ANALYZE messages");
    insert_past_the_trigger(10);
    run(measuring, "SELECT messaging_audit(100000)");
    const auto plan = measuring.execute("EXPLAIN (ANALYZE, BUFFERS) SELECT messaging_audit(100000)");
    ASSERT_TRUE(plan.ok());
    std::string text;
    for (int row = 0; row < plan->size(); ++row) text += plan->text(row, 0);
    const std::string key = "shared hit=";
    const auto at = text.find(key);
    ASSERT_NE(at, std::string::npos) << text;
    EXPECT_LT(std::stol(text.substr(at + key.size())), db_.number("SELECT relpages FROM pg_class WHERE relname = 'messages'") / 4)
        << "pages, of which the archive alone has four times as many";
    EXPECT_EQ(queue(), "100001 100002 100003 100004 100005 100006 100007 100008 100009 100010");
}

}  // namespace
}  // namespace messaging::repository
