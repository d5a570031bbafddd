// Receipts behind the sending: the fast path, the back-off while Redis refuses, and the reading back.
#include "engine/receipt_relay.h"

#include <gtest/gtest.h>

#include "engine/receipt_backlog_store.h"
#include "support/fake_ports.h"
#include "support/fake_time.h"
#include "support/fixed_random.h"

namespace messaging::engine {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using test::take_first;

const core::Error kOutOfMemory{core::ErrorKind::kInternal, "OOM command not allowed", ""};

class ReceiptRelayTest : public testing::Test {
protected:
    void SetUp() override { relay_.start(); }
    static std::vector<core::Receipt> receipts(std::int64_t batch_id, std::size_t count = 1) {
        return std::vector<core::Receipt>(count, core::Receipt{batch_id, "r", "t"});
    }
    void add(std::int64_t batch_id, std::size_t count = 1) { relay_.add(batch_id, receipts(batch_id, count)); }
    void confirm() { take_first(log_.writes).answer(core::Unit{}); }
    void refuse() { take_first(log_.writes).answer(kOutOfMemory); }
    // The batch that is being written, by its first message's id; the tests give both the same number.
    std::int64_t written() const { return log_.writes.empty() ? 0 : log_.writes.front().request.front().id; }
    void answer_read(const std::vector<std::int64_t>& batches) {
        std::vector<BacklogBatch> backlog;
        for (const std::int64_t batch_id : batches) backlog.push_back({batch_id, receipts(batch_id)});
        take_first(backlog_.reads).answer(std::move(backlog));
    }
    void answer_full_read(std::int64_t first_batch) {
        std::vector<std::int64_t> batches;
        for (int i = 0; i < kBacklogBatches; ++i) batches.push_back(first_batch + i);
        answer_read(batches);
    }
    // From a back-off that has just begun to its end, where the backlog is read for the probe.
    void wait_for_probe() {
        time_.advance(kReceiptBackoff.cap);
        ASSERT_EQ(backlog_.reads.size(), 1U);
        EXPECT_EQ(backlog_.reads.front().request.limit, 1);
    }

    test::FakeTime time_;
    test::FixedRandom random_{0.999999};  // the whole delay
    test::FakeReceiptLog log_;
    test::FakeBacklogStore backlog_;
    test::FakeObserver observer_;
    core::InstanceId instance_id_ = 5;
    std::vector<std::int64_t> confirmed_;
    ReceiptRelay relay_{
        log_,    backlog_,  time_,
        random_, observer_, {[this] { return instance_id_; }, [this](std::int64_t batch_id) { confirmed_.push_back(batch_id); }}};
};

TEST_F(ReceiptRelayTest, ABatchStaysInMemoryUntilItsConfirmationIsRecorded) {
    add(7, 3);
    EXPECT_TRUE(relay_.writing());
    confirm();
    EXPECT_FALSE(relay_.writing());
    EXPECT_EQ(confirmed_, std::vector<std::int64_t>{7});
    EXPECT_EQ(observer_.receipts, 3U);
    time_.advance(kBacklogPeriod);
    ASSERT_EQ(backlog_.reads.size(), 1U);
    EXPECT_EQ(backlog_.reads.front().request.not_these, std::vector<std::int64_t>{7});
    answer_read({});
    take_first(backlog_.reclaims).answer(std::size_t{0});
    relay_.forget({7});
    time_.advance(kBacklogPeriod);
    ASSERT_EQ(backlog_.reads.size(), 1U);
    EXPECT_EQ(backlog_.reads.front().request.not_these, std::vector<std::int64_t>{});
}

TEST_F(ReceiptRelayTest, WithoutRedisNothingIsWrittenOrRead) {
    log_.is_up = false;
    add(7);
    time_.advance(seconds(5));
    EXPECT_TRUE(log_.writes.empty());
    EXPECT_TRUE(backlog_.reads.empty());
    log_.is_up = true;
    time_.advance(kBacklogPeriod);
    ASSERT_EQ(backlog_.reads.size(), 1U);
    EXPECT_TRUE(backlog_.reads.front().request.not_these.empty()) << "batch 7 is read from the backlog";
}

TEST_F(ReceiptRelayTest, WhatWasMissedIsReadBackEachSecondWithoutWhatIsInMemory) {
    add(7);
    time_.advance(kBacklogPeriod);
    ASSERT_EQ(backlog_.reads.size(), 1U);
    EXPECT_EQ(backlog_.reads.front().request.me, 5);
    EXPECT_EQ(backlog_.reads.front().request.not_these, std::vector<std::int64_t>{7});
    answer_read({8});
    ASSERT_EQ(log_.writes.size(), 2U);
    confirm();
    EXPECT_EQ(written(), 8);
    confirm();
    EXPECT_EQ(confirmed_, (std::vector<std::int64_t>{7, 8}));
}

TEST_F(ReceiptRelayTest, AFullReadIsFollowedByTheNextOne) {
    time_.advance(kBacklogPeriod);
    answer_full_read(100);
    time_.advance(milliseconds(1));
    EXPECT_EQ(backlog_.reads.size(), 1U);
    EXPECT_EQ(backlog_.reads.front().request.not_these.size(), static_cast<std::size_t>(kBacklogBatches));
}

// The hot loop: the same twenty batches were read, encoded and refused as fast as they could be.
TEST_F(ReceiptRelayTest, ARefusalStopsTheReadingAndTheWritingUntilTheBackOffEnds) {
    time_.advance(kBacklogPeriod);
    answer_full_read(100);
    while (!log_.writes.empty()) refuse();
    EXPECT_EQ(observer_.errors[kReceiptsOperation], kBacklogBatches);
    add(7);
    time_.advance(kReceiptBackoff.base - milliseconds(2));
    add(8);
    EXPECT_TRUE(log_.writes.empty());
    EXPECT_TRUE(backlog_.reads.empty());
    time_.advance(milliseconds(2));
    EXPECT_EQ(backlog_.reads.size(), 1U);
}

TEST_F(ReceiptRelayTest, AReadThatWasUnderWayAtTheRefusalIsNotWritten) {
    add(7);
    time_.advance(kBacklogPeriod);
    refuse();
    answer_full_read(100);
    EXPECT_TRUE(log_.writes.empty());
}

TEST_F(ReceiptRelayTest, TheBackOffDoublesUntilItsCapWithOneBatchAsAProbeEachTime) {
    add(1);
    refuse();
    for (int failures = 1; failures <= 12; ++failures) {
        const milliseconds delay = core::nominal_delay(kReceiptBackoff, failures);
        EXPECT_LE(delay, kReceiptBackoff.cap);
        time_.advance(delay - milliseconds(2));
        EXPECT_TRUE(backlog_.reads.empty()) << failures;
        time_.advance(milliseconds(2));
        ASSERT_EQ(backlog_.reads.size(), 1U) << failures;
        answer_read({failures + 1});
        add(100);
        ASSERT_EQ(log_.writes.size(), 1U) << "only the probe";
        refuse();
    }
    EXPECT_EQ(core::nominal_delay(kReceiptBackoff, 12), kReceiptBackoff.cap);
}

TEST_F(ReceiptRelayTest, TheFirstSuccessEndsTheBackOffAndForgetsItsLength) {
    add(1);
    refuse();
    for (int i = 0; i < 5; ++i) {
        wait_for_probe();
        answer_read({1});
        if (i < 4) refuse();
    }
    confirm();
    EXPECT_EQ(observer_.successes[kReceiptsOperation], 1);
    add(2);
    EXPECT_EQ(written(), 2) << "the fast path is open";
    time_.advance(milliseconds(1));
    EXPECT_EQ(backlog_.reads.size(), 1U) << "and what was missed is read at once";
    answer_read({});
    take_first(backlog_.reclaims).answer(std::size_t{0});
    refuse();
    time_.advance(kReceiptBackoff.base);
    EXPECT_EQ(backlog_.reads.size(), 1U) << "after the first wait again";
}

TEST_F(ReceiptRelayTest, ALateSuccessDoesNotEndTheBackOff) {
    add(1);
    add(2);
    refuse();
    confirm();
    EXPECT_EQ(confirmed_, std::vector<std::int64_t>{2});
    EXPECT_EQ(observer_.successes[kReceiptsOperation], 0) << "else the log would alternate";
    add(3);
    EXPECT_TRUE(log_.writes.empty());
}

TEST_F(ReceiptRelayTest, WithNothingToProbeWithTheNextBatchShowsWhetherRedisTakesIt) {
    add(1);
    refuse();
    wait_for_probe();
    answer_read({});
    add(2);
    EXPECT_EQ(written(), 2);
    refuse();
    time_.advance(kReceiptBackoff.base);
    EXPECT_TRUE(backlog_.reads.empty()) << "an empty backlog is no success: the wait is doubled";
}

TEST_F(ReceiptRelayTest, ABatchThatIsRefusedForItselfDoesNotHoldUpThoseBehindIt) {
    add(1);
    refuse();
    wait_for_probe();
    answer_read({1});
    refuse();
    wait_for_probe();
    EXPECT_EQ(backlog_.reads.front().request.not_these, std::vector<std::int64_t>{1});
    answer_read({2});
    confirm();
    EXPECT_EQ(confirmed_, std::vector<std::int64_t>{2});
    time_.advance(milliseconds(1));
    answer_read({});
    take_first(backlog_.reclaims).answer(std::size_t{0});
    time_.advance(kBacklogPeriod);
    ASSERT_EQ(backlog_.reads.size(), 1U);
    EXPECT_EQ(backlog_.reads.front().request.not_these, std::vector<std::int64_t>{2})
        << "it is tried again when the others are through";
}

TEST_F(ReceiptRelayTest, ABatchWithoutReceiptsIsConfirmedWithoutRedis) {
    time_.advance(kBacklogPeriod);
    take_first(backlog_.reads).answer(std::vector<BacklogBatch>{{3, {}}});
    EXPECT_TRUE(log_.writes.empty());
    EXPECT_EQ(confirmed_, std::vector<std::int64_t>{3});
    take_first(backlog_.reclaims).answer(std::size_t{0});
    time_.advance(kBacklogPeriod);
    ASSERT_EQ(backlog_.reads.size(), 1U);
    EXPECT_EQ(backlog_.reads.front().request.not_these, std::vector<std::int64_t>{3}) << "until the confirmation is recorded";
}

TEST_F(ReceiptRelayTest, ABatchWithoutReceiptsIsNoProbe) {
    add(1);
    refuse();
    wait_for_probe();
    take_first(backlog_.reads).answer(std::vector<BacklogBatch>{{3, {}}});
    add(4);
    EXPECT_TRUE(log_.writes.empty());
    time_.advance(milliseconds(1));
    answer_read({5});
    EXPECT_EQ(written(), 5);
}

TEST_F(ReceiptRelayTest, BatchesOfFailedInstancesAreReclaimedWhenItsOwnAreWritten) {
    time_.advance(kBacklogPeriod);
    answer_full_read(100);
    EXPECT_TRUE(backlog_.reclaims.empty()) << "it has enough to do";
    while (!log_.writes.empty()) confirm();
    time_.advance(milliseconds(1));
    answer_read({});
    ASSERT_EQ(backlog_.reclaims.size(), 1U);
    EXPECT_EQ(backlog_.reclaims.front().request, 5);
    take_first(backlog_.reclaims).answer(std::size_t{2});
    time_.advance(milliseconds(1));
    answer_read({1, 2});
    ASSERT_EQ(backlog_.reclaims.size(), 1U) << "there may be more";
    take_first(backlog_.reclaims).answer(std::size_t{0});
}

TEST_F(ReceiptRelayTest, InstancesThatAreGoneAreLookedForRarely) {
    int reads = 0;
    int reclaims = 0;
    for (int i = 0; i < 600; ++i) {
        time_.advance(milliseconds(100));
        if (!backlog_.reads.empty()) {
            ++reads;
            answer_read({});
        }
        if (backlog_.reclaims.empty()) continue;
        ++reclaims;
        take_first(backlog_.reclaims).answer(std::size_t{0});
    }
    EXPECT_GE(reads, 59);
    EXPECT_LE(reads, 61);
    EXPECT_GE(reclaims, 11);
    EXPECT_LE(reclaims, 13);
}

TEST_F(ReceiptRelayTest, NothingIsReclaimedWhileRedisRefuses) {
    add(1);
    refuse();
    wait_for_probe();
    answer_read({1});
    EXPECT_TRUE(backlog_.reclaims.empty()) << "an engine with a wrong REDIS_URL must not collect the others' receipts";
}

TEST_F(ReceiptRelayTest, BeforeItIsRegisteredTheBacklogIsLeftAlone) {
    instance_id_ = 0;
    time_.advance(seconds(3));
    EXPECT_TRUE(backlog_.reads.empty());
}

TEST_F(ReceiptRelayTest, WhatIsInMemoryMovesWithAnEngineThatRegistersAnew) {
    relay_.on_registered_anew(5, 6);
    EXPECT_TRUE(backlog_.moves.empty()) << "nothing is in memory";
    add(7);
    relay_.on_registered_anew(5, 6);
    ASSERT_EQ(backlog_.moves.size(), 1U);
    EXPECT_EQ(backlog_.moves.front().request.from, 5);
    EXPECT_EQ(backlog_.moves.front().request.to, 6);
    EXPECT_EQ(backlog_.moves.front().request.batches, std::vector<std::int64_t>{7});
}

TEST_F(ReceiptRelayTest, StoppedItWritesWhatIsAddedAndReadsNothingMore) {
    time_.advance(kBacklogPeriod);
    relay_.stop();
    answer_read({1});
    EXPECT_TRUE(log_.writes.empty());
    add(2);
    EXPECT_EQ(written(), 2);
    refuse();
    add(3);
    EXPECT_FALSE(relay_.writing());
    time_.advance(seconds(60));
    EXPECT_TRUE(backlog_.reads.empty());
}

TEST_F(ReceiptRelayTest, AFailedReadIsAnErrorUntilTheNextOneSucceeds) {
    time_.advance(kBacklogPeriod);
    take_first(backlog_.reads).answer(test::unavailable());
    EXPECT_EQ(observer_.errors[kBacklogOperation], 1);
    time_.advance(kBacklogPeriod);
    answer_read({});
    EXPECT_EQ(observer_.successes[kBacklogOperation], 1);
}

TEST_F(ReceiptRelayTest, NoMoreThanItsLimitIsInMemory) {
    add(1, kMaxReceiptsInMemory);
    add(2);
    EXPECT_EQ(log_.writes.size(), 1U);
    time_.advance(kBacklogPeriod);
    EXPECT_TRUE(backlog_.reads.empty());
}

}  // namespace
}  // namespace messaging::engine
