// Receipts: into Redis, and back from the database when Redis has missed them.
#include <algorithm>

#include "redis/client.h"
#include "core/outcome.h"
#include "repository/presence_store.h"
#include "repository/queue_store.h"
#include "repository/receipt_backlog_store.h"
#include "repository/receipt_log.h"
#include "support/private_postgres.h"
#include "support/private_redis.h"
#include "support/stores.h"

namespace messaging::repository {
namespace {

using service::BacklogBatch;
using test::PrivateRedis;
using test::Stores;

class RedisReceipts : public testing::Test {
protected:
    void SetUp() override {
        client_.start();
        ASSERT_TRUE(test::run_until(loop_, [&] { return client_.up(); }));
    }
    core::Result<core::Nothing> write(RedisReceiptLog& log, const std::vector<core::Receipt>& receipts) {
        std::optional<core::Result<core::Nothing>> outcome;
        int calls = 0;
        log.write(receipts, [&](core::Result<core::Nothing> result) {
            ++calls;
            outcome.emplace(std::move(result));
        });
        EXPECT_FALSE(outcome) << "never inside the call";
        EXPECT_TRUE(test::run_until(loop_, [&] { return outcome.has_value(); }));
        EXPECT_EQ(calls, 1);
        return *outcome;
    }
    redis::ClientOptions options() {
        redis::ClientOptions options;
        options.target = redis::parse_url(redis_.url()).value();
        return options;
    }

    PrivateRedis redis_;
    test::FixedRandom random_;
    loop::EventLoop loop_;
    redis::Client client_{loop_, random_, options(), {}};
    RedisReceiptLog log_{client_, {1000, std::chrono::seconds(600)}};
};

TEST_F(RedisReceipts, AReceiptIsAStreamEntryAndAKeyThatExpires) {
    ASSERT_TRUE(write(log_, {{7, "their \"id\" 🎈", "2026-01-02T03:04:05.000000Z"}}).ok());
    const std::string entry = redis_.run({"XRANGE", "messages:sent", "-", "+"});
    for (const char* field : {"id\n7\n", "messageId\ntheir \"id\" 🎈\n", "sentAt\n2026-01-02T03:04:05.000000Z"}) {
        EXPECT_NE(entry.find(field), std::string::npos) << entry;
    }
    EXPECT_EQ(redis_.run({"GET", "message:7"}), R"({"messageId":"their \"id\" 🎈","sentAt":"2026-01-02T03:04:05.000000Z"})");
    const int ttl = std::stoi(redis_.run({"TTL", "message:7"}));
    EXPECT_GT(ttl, 500);
    EXPECT_LE(ttl, 600);
}

TEST_F(RedisReceipts, AReceiverWithoutAnIdGivesNull) {
    ASSERT_TRUE(write(log_, {{8, std::nullopt, "2026-01-02T03:04:05.000000Z"}}).ok());
    EXPECT_EQ(redis_.run({"GET", "message:8"}), R"({"messageId":null,"sentAt":"2026-01-02T03:04:05.000000Z"})");
}

TEST_F(RedisReceipts, ManyAreWrittenAndTheStreamStaysBounded) {
    std::vector<core::Receipt> receipts;
    for (int id = 1; id <= 5000; ++id) receipts.push_back({id, "r", "2026-01-02T03:04:05.000000Z"});
    ASSERT_TRUE(write(log_, receipts).ok());
    const int length = std::stoi(redis_.run({"XLEN", "messages:sent"}));
    EXPECT_GE(length, 1000);
    EXPECT_LE(length, 1200) << "MAXLEN ~ trims whole nodes of 100";
    EXPECT_EQ(redis_.run({"GET", "message:5000"}).empty(), false);
}

TEST_F(RedisReceipts, NoReceiptsAreConfirmedToo) { EXPECT_TRUE(write(log_, {}).ok()); }

TEST_F(RedisReceipts, ARefusalOfRedisIsAnErrorOfTheWholeBatch) {
    redis_.run({"SET", "messages:sent", "not a stream"});
    const auto refused = write(log_, {{1, "r", "t"}, {2, "r", "t"}});
    ASSERT_FALSE(refused.ok());
    EXPECT_NE(refused.error().message.find("WRONGTYPE"), std::string::npos) << refused.error().message;
    redis_.run({"DEL", "messages:sent"});
    EXPECT_TRUE(write(log_, {{1, "r", "t"}}).ok()) << "and it recovers";
}

TEST_F(RedisReceipts, WithoutRedisItFailsAndRecoversWithIt) {
    redis_.stop();
    ASSERT_TRUE(test::run_until(loop_, [&] { return !log_.up(); }));
    const auto refused = write(log_, {{1, "r", "t"}});
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().kind, core::ErrorKind::kUnavailable);
    redis_.start();
    ASSERT_TRUE(test::run_until(loop_, [&] { return log_.up(); }));
    EXPECT_TRUE(write(log_, {{1, "r", "t"}}).ok());
}

class ReceiptBacklog : public testing::Test {
protected:
    core::ClaimId last_claim_ = 100;
    std::vector<BacklogBatch> read(core::InstanceId me, std::vector<std::int64_t> held = {}, int limit = 10) {
        return db_.value<std::vector<BacklogBatch>>([&](auto done) { store_.read_backlog(me, held, limit, std::move(done)); });
    }
    // Inserts `count` messages and records them as sent by `me`; answers the batch.
    std::int64_t sent(int count, core::InstanceId me) {
        db_.sql("INSERT INTO messages (recipient, content) SELECT '+90', 'x' FROM generate_series(1, " + std::to_string(count) +
                ")");
        service::ClaimRequest claim;
        claim.instance_id = me;
        claim.claim_id = ++last_claim_;
        claim.limit = count;
        const auto batch = db_.value<service::ClaimBatch>([&](auto done) { queue_.claim_ready(claim, std::move(done)); });
        service::RecordRequest request;
        request.instance_id = me;
        for (const core::Delivery& delivery : batch.deliveries) {
            core::Outcome outcome = core::uncounted(delivery, core::OutcomeKind::kDelivered);
            outcome.attempts = 1;
            outcome.receiver_message_id = "r" + std::to_string(delivery.id);
            request.outcomes.push_back(outcome);
        }
        const auto recorded = db_.value<service::RecordResult>([&](auto done) { queue_.record(request, std::move(done)); });
        return recorded.sent_batch.value_or(0);
    }
    void add_instance(core::InstanceId id) {
        db_.sql("INSERT INTO messaging._instance (instance_id, name) OVERRIDING SYSTEM VALUE VALUES (" + std::to_string(id) +
                ", 'alive')");
    }

    Stores db_{test::fresh_database()};
    pg::Connection& record_session_{db_.open_session(record_session_settings())};
    PgQueueStore queue_{db_.open_session(claim_session_settings()), record_session_};
    PgReceiptBacklogStore store_{record_session_};
};

TEST_F(ReceiptBacklog, GivesMyUnconfirmedBatchesOldestFirst) {
    const auto first = sent(2, 1);
    const auto second = sent(1, 1);
    const auto batches = read(1);
    ASSERT_EQ(batches.size(), 2U);
    EXPECT_EQ(batches[0].batch_id, first);
    ASSERT_EQ(batches[0].receipts.size(), 2U);
    EXPECT_EQ(batches[0].receipts[0].id, 1);
    EXPECT_EQ(batches[0].receipts[0].receiver_message_id, "r1");
    EXPECT_EQ(db_.number("SELECT count(*) FROM messages WHERE sent_at = '" + batches[0].receipts[0].sent_at + "' AND id = 1"), 1);
    EXPECT_EQ(batches[1].batch_id, second);
}

TEST_F(ReceiptBacklog, LeavesOutWhatIsHeldAndStopsAtTheLimit) {
    const auto first = sent(1, 1);
    const auto second = sent(1, 1);
    sent(1, 1);
    const auto batches = read(1, {first}, 1);
    ASSERT_EQ(batches.size(), 1U);
    EXPECT_EQ(batches[0].batch_id, second);
}

TEST_F(ReceiptBacklog, TakesOverFromInstancesThatAreGoneOnly) {
    add_instance(2);
    sent(1, 2);
    const auto orphaned = sent(1, 3);
    const auto batches = read(1);
    ASSERT_EQ(batches.size(), 1U);
    EXPECT_EQ(batches[0].batch_id, orphaned);
}

TEST_F(ReceiptBacklog, ABatchWhoseMessagesAreGoneOrSentAgainIsEmptyAndCanBeConfirmed) {
    const auto batch = sent(2, 1);
    db_.sql("DELETE FROM messages WHERE id = 1");
    db_.sql("UPDATE messages SET is_sent = false WHERE id = 2");
    const auto batches = read(1);
    ASSERT_EQ(batches.size(), 1U);
    EXPECT_EQ(batches[0].batch_id, batch);
    EXPECT_TRUE(batches[0].receipts.empty());
}

}  // namespace
}  // namespace messaging::repository
