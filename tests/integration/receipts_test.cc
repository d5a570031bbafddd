// Receipts: into Redis, and back from the database when Redis has missed them.
#include <algorithm>

#include "core/outcome.h"
#include "engine/claim_store.h"
#include "engine/receipt_backlog_store.h"
#include "engine/record_store.h"
#include "redis/client.h"
#include "repository/instance_store.h"
#include "repository/receipt_backlog_store.h"
#include "repository/receipt_log.h"
#include "support/engine_stores.h"
#include "support/private_postgres.h"
#include "support/private_redis.h"
#include "support/stores.h"

namespace messaging::repository {
namespace {

using engine::BacklogBatch;
using test::PrivateRedis;
using test::Stores;

class RedisReceipts : public testing::Test {
protected:
    void SetUp() override {
        client_.start();
        ASSERT_TRUE(test::run_until(loop_, [&] { return client_.up(); }));
    }
    core::Result<core::Unit> write(RedisReceiptLog& log, const std::vector<core::Receipt>& receipts) {
        std::optional<core::Result<core::Unit>> outcome;
        int calls = 0;
        log.write(receipts, [&](core::Result<core::Unit> result) {
            ++calls;
            outcome.emplace(std::move(result));
        });
        EXPECT_FALSE(outcome) << "never inside the call";
        EXPECT_TRUE(test::run_until(loop_, [&] { return outcome.has_value(); }));
        EXPECT_EQ(calls, 1);
        return *outcome;
    }
    int entries() const { return std::stoi(redis_.run({"XLEN", "messages:sent"})); }
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

TEST_F(RedisReceipts, AReceiptThatIsWrittenAgainIsStillOneEntry) {
    ASSERT_TRUE(write(log_, {{1, "r1", "t1"}, {2, std::nullopt, "t1"}}).ok());
    ASSERT_TRUE(write(log_, {{1, "r1", "t1"}, {2, std::nullopt, "t1"}, {3, "r3", "t1"}}).ok());
    EXPECT_EQ(entries(), 3);
    ASSERT_TRUE(write(log_, {{1, "r1", "t2"}}).ok());
    EXPECT_EQ(entries(), 4) << "sent again, at another time, it is another receipt";
    EXPECT_EQ(redis_.run({"GET", "message:1"}), R"({"messageId":"r1","sentAt":"t2"})");
}

TEST_F(RedisReceipts, ABatchOfWhichAPartWasWrittenIsCompletedAndNotRepeated) {
    constexpr int kReceipts = 4000;
    std::vector<core::Receipt> receipts;
    for (int id = 1; id <= kReceipts; ++id) receipts.push_back({id, std::string(36, 'r'), "2026-01-02T03:04:05.000000Z"});
    RedisReceiptLog log(client_, {10 * kReceipts, std::chrono::seconds(600)});
    const std::string memory = redis_.run({"INFO", "memory"});
    const long used = std::stol(memory.substr(memory.find("used_memory:") + 12));
    redis_.run({"CONFIG", "SET", "maxmemory", std::to_string(used + 400'000)});
    const auto refused = write(log, receipts);
    ASSERT_FALSE(refused.ok());
    EXPECT_NE(refused.error().message.find("OOM"), std::string::npos) << refused.error().message;
    ASSERT_GT(entries(), 0) << "the test wants the memory to end in the middle";
    ASSERT_LT(entries(), kReceipts);
    redis_.run({"CONFIG", "SET", "maxmemory", "0"});
    ASSERT_TRUE(write(log, receipts).ok());
    EXPECT_EQ(entries(), kReceipts);
    EXPECT_EQ(redis_.run({"DBSIZE"}), std::to_string(kReceipts + 1));
}

TEST_F(RedisReceipts, ARefusalOfTheStreamLeavesNoKeyThatWouldHideTheReceipt) {
    ASSERT_TRUE(write(log_, {{1, "r", "earlier"}}).ok());
    redis_.run({"RENAME", "messages:sent", "kept"});
    redis_.run({"SET", "messages:sent", "not a stream"});
    const auto refused = write(log_, {{1, "r", "t"}, {2, "r", "t"}});
    ASSERT_FALSE(refused.ok());
    EXPECT_NE(refused.error().message.find("WRONGTYPE"), std::string::npos) << refused.error().message;
    EXPECT_EQ(redis_.run({"GET", "message:1"}), R"({"messageId":"r","sentAt":"earlier"})");
    redis_.run({"RENAME", "kept", "messages:sent"});
    ASSERT_TRUE(write(log_, {{1, "r", "t"}, {2, "r", "t"}}).ok()) << "and it recovers";
    EXPECT_EQ(entries(), 3);
    EXPECT_EQ(redis_.run({"GET", "message:1"}), R"({"messageId":"r","sentAt":"t"})");
    EXPECT_EQ(redis_.run({"GET", "message:2"}), R"({"messageId":"r","sentAt":"t"})");
}

TEST_F(RedisReceipts, AUserWhoMayNotWriteTheStreamLeavesNoKeyThatWouldHideTheReceipt) {
    redis_.run({"ACL", "SETUSER", "default", "-xadd"});
    ASSERT_FALSE(write(log_, {{1, "r", "t"}}).ok());
    redis_.run({"ACL", "SETUSER", "default", "+xadd"});
    ASSERT_TRUE(write(log_, {{1, "r", "t"}}).ok());
    EXPECT_EQ(entries(), 1);
    EXPECT_EQ(redis_.run({"GET", "message:1"}), R"({"messageId":"r","sentAt":"t"})");
}

TEST_F(RedisReceipts, AUserWhoMayNotWriteTheKeysLeavesNoEntry) {
    redis_.run({"ACL", "SETUSER", "default", "-set"});
    ASSERT_FALSE(write(log_, {{1, "r", "t"}}).ok());
    EXPECT_EQ(entries(), 0);
    redis_.run({"ACL", "SETUSER", "default", "+set"});
    ASSERT_TRUE(write(log_, {{1, "r", "t"}}).ok());
    EXPECT_EQ(entries(), 1);
}

TEST_F(RedisReceipts, AKeyOfAnotherTypeIsOverwritten) {
    redis_.run({"RPUSH", "message:1", "an application's list"});
    ASSERT_TRUE(write(log_, {{1, "r", "t"}, {2, "r", "t"}}).ok());
    EXPECT_EQ(redis_.run({"GET", "message:1"}), R"({"messageId":"r","sentAt":"t"})");
    EXPECT_EQ(entries(), 2);
}

TEST_F(RedisReceipts, AReplicaRefusesAndTakesThemOnceItIsAMaster) {
    redis_.run({"REPLICAOF", "127.0.0.1", "1"});
    const auto refused = write(log_, {{1, "r", "t"}, {2, "r", "t"}});
    ASSERT_FALSE(refused.ok());
    EXPECT_NE(refused.error().message.find("READONLY"), std::string::npos) << refused.error().message;
    redis_.run({"REPLICAOF", "NO", "ONE"});
    ASSERT_TRUE(write(log_, {{1, "r", "t"}, {2, "r", "t"}}).ok());
    EXPECT_EQ(entries(), 2);
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
    std::vector<BacklogBatch> read(core::InstanceId me, std::vector<std::int64_t> not_these = {}, int limit = 10) {
        return db_.value<std::vector<BacklogBatch>>(
            [&](auto done) { store_.read_backlog(me, not_these, limit, std::move(done)); });
    }
    std::size_t reclaim(core::InstanceId me, int limit = 10) {
        return db_.value<std::size_t>([&](auto done) { store_.reclaim_backlog(me, limit, std::move(done)); });
    }
    void move(core::InstanceId from, core::InstanceId to, std::vector<std::int64_t> batches) {
        db_.value<core::Unit>([&](auto done) { store_.move_backlog(from, to, batches, std::move(done)); });
    }
    // `batch:owner` of every row.
    std::string owners() {
        return db_.sql(
            "SELECT string_agg(batch_id || ':' || instance_id, ' ' ORDER BY batch_id) FROM messaging._receipt_backlog");
    }
    void add_rows(const std::string& batches, core::InstanceId owner) {
        db_.sql("INSERT INTO messaging._receipt_backlog (batch_id, instance_id) SELECT b, " + std::to_string(owner) + " FROM " +
                batches + " AS b");
    }
    // Inserts `count` messages and records them as sent by `me`; answers the batch.
    std::int64_t sent(int count, core::InstanceId me) {
        db_.sql("INSERT INTO messages (recipient, content) SELECT '+90', 'x' FROM generate_series(1, " + std::to_string(count) +
                ")");
        engine::ClaimRequest claim;
        claim.instance_id = me;
        claim.claim_id = ++last_claim_;
        claim.limit = count;
        const auto batch = db_.value<engine::ClaimBatch>([&](auto done) { queue_.claim_ready(claim, std::move(done)); });
        engine::RecordRequest request;
        request.instance_id = me;
        for (const core::Delivery& delivery : batch.deliveries) {
            core::Outcome outcome = core::uncounted(delivery, core::OutcomeKind::kDelivered);
            outcome.attempts = 1;
            outcome.receiver_message_id = "r" + std::to_string(delivery.id);
            request.outcomes.push_back(outcome);
        }
        const auto recorded = db_.value<engine::RecordResult>([&](auto done) { queue_.record(request, std::move(done)); });
        return recorded.sent_batch.value_or(0);
    }
    void add_instance(core::InstanceId id) {
        db_.sql("INSERT INTO messaging._instance (instance_id, name) OVERRIDING SYSTEM VALUE VALUES (" + std::to_string(id) +
                ", 'alive')");
    }

    Stores db_{test::fresh_database()};
    pg::Connection& record_session_{db_.open_session(record_session_settings())};
    test::EngineStores queue_{db_.open_session(claim_session_settings()), record_session_};
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

TEST_F(ReceiptBacklog, LeavesOutWhatIsInMemoryAndStopsAtTheLimit) {
    const auto first = sent(1, 1);
    const auto second = sent(1, 1);
    sent(1, 1);
    const auto batches = read(1, {first}, 1);
    ASSERT_EQ(batches.size(), 1U);
    EXPECT_EQ(batches[0].batch_id, second);
}

TEST_F(ReceiptBacklog, OthersAreReadOnlyOnceTheyAreReclaimedAndOnlyFromInstancesThatAreGone) {
    add_instance(1);
    add_instance(2);
    sent(1, 2);
    const auto orphaned = sent(1, 3);
    const auto later = sent(1, 4);
    EXPECT_TRUE(read(1).empty());
    EXPECT_EQ(reclaim(1), 2U);
    EXPECT_EQ(reclaim(1), 0U);
    const auto batches = read(1);
    ASSERT_EQ(batches.size(), 2U);
    EXPECT_EQ(batches[0].batch_id, orphaned);
    EXPECT_EQ(batches[1].batch_id, later);
    EXPECT_EQ(owners(), "1:2 2:1 3:1");
}

TEST_F(ReceiptBacklog, ReclaimsNoMoreThanItsLimitOldestFirst) {
    add_instance(1);
    add_rows("generate_series(1, 5)", 8);
    add_rows("generate_series(6, 9)", 7);
    EXPECT_EQ(reclaim(1, 3), 3U);
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._receipt_backlog WHERE instance_id = 1"), 3);
    EXPECT_EQ(reclaim(1, 100), 6U);
}

TEST_F(ReceiptBacklog, SeveralEnginesNeverReclaimTheSameBatch) {
    constexpr int kRounds = 20;
    constexpr int kBatches = 400;
    for (const core::InstanceId id : {1, 2, 3}) add_instance(id);
    std::vector<PgReceiptBacklogStore> stores;
    for (int i = 0; i < 3; ++i) stores.emplace_back(db_.open_session(record_session_settings()));
    for (int round = 0; round < kRounds; ++round) {
        db_.sql("DELETE FROM messaging._receipt_backlog");
        add_rows("generate_series(1, " + std::to_string(kBatches) + ")", 9);
        std::vector<std::size_t> reclaimed(3);
        std::size_t answers = 0;
        for (std::size_t call = 0; call < 60; ++call) {
            const std::size_t engine = call % 3;
            stores[engine].reclaim_backlog(static_cast<core::InstanceId>(engine + 1), 20,
                                           [&, engine](const core::Result<std::size_t>& result) {
                                               ASSERT_TRUE(result) << result.error().message;
                                               reclaimed[engine] += result.value();
                                               ++answers;
                                           });
        }
        ASSERT_TRUE(test::run_until(db_.loop(), [&] { return answers == 60; }));
        for (std::size_t engine = 0; engine < 3; ++engine) {
            EXPECT_EQ(
                db_.number("SELECT count(*) FROM messaging._receipt_backlog WHERE instance_id = " + std::to_string(engine + 1)),
                static_cast<std::int64_t>(reclaimed[engine]))
                << "each batch that an engine was told is its own";
        }
        EXPECT_EQ(reclaimed[0] + reclaimed[1] + reclaimed[2], static_cast<std::size_t>(kBatches));
    }
}

TEST_F(ReceiptBacklog, MovesTheBatchesThatAnEngineHoldsAndNoOthers) {
    add_rows("generate_series(1, 3)", 1);
    add_rows("generate_series(4, 4)", 7);
    move(1, 2, {1, 3, 4, 99});
    EXPECT_EQ(owners(), "1:2 2:1 3:2 4:7");
}

TEST_F(ReceiptBacklog, APrunedBatchIsEmptyAndDoesNotHideThoseBehindIt) {
    for (int i = 0; i < 3; ++i) sent(1, 1);
    db_.sql("DELETE FROM messaging._sent_batch WHERE batch_id < 3");
    const auto batches = read(1, {}, 2);
    ASSERT_EQ(batches.size(), 2U);
    EXPECT_EQ(batches[0].batch_id, 1);
    EXPECT_TRUE(batches[0].receipts.empty());
    EXPECT_TRUE(batches[1].receipts.empty());
    const auto behind = read(1, {1, 2}, 2);
    ASSERT_EQ(behind.size(), 1U);
    EXPECT_EQ(behind[0].receipts.size(), 1U);
}

// A process with a wrong REDIS_URL had every other one read all of its rows each second.
TEST_F(ReceiptBacklog, ManyRowsOfALivingInstanceCostTheOthersNothing) {
    add_instance(1);
    add_instance(2);
    add_rows("generate_series(1, 20000)", 2);
    add_rows("generate_series(20001, 20003)", 3);
    EXPECT_TRUE(read(1).empty());
    EXPECT_EQ(reclaim(1), 3U);
    EXPECT_EQ(read(1).size(), 3U);
    db_.close_sessions();  // which reports what they have read
    const auto rows_read = [this] {
        return db_.number(
                   "SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname = '_receipt_backlog' AND idx_scan > 0") +
               db_.number("SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = '_receipt_backlog'");
    };
    ASSERT_TRUE(test::wait_until([&] {
        return db_.number(
                   "SELECT coalesce(sum(idx_scan), 0) FROM pg_stat_user_indexes WHERE "
                   "relname = '_receipt_backlog'") > 0;
    }));
    EXPECT_LT(rows_read(), 100);
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
