// Redis absent, stopped, hanging, full or flushed: sending does not notice, and the receipts are written afterwards.
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>

#include "support/private_postgres.h"
#include "support/private_redis.h"
#include "support/stores.h"
#include "support/tally.h"
#include "support/world.h"

namespace messaging::test {
namespace {

using std::chrono::seconds;

class Redis : public testing::Test {
protected:
    Environment environment() { return {{"WEBHOOK_URL", receiver_.url()}, {"REDIS_URL", redis_.url()}}; }
    Service& serve() {
        service_ = std::make_unique<Service>(environment(), database_);
        return *service_;
    }
    // Commits so many, and sees all of them sent and recorded whatever Redis does.
    void send(Tally& tally, long count) {
        const auto before = receiver_.distinct();
        commit_messages(database_, count);
        EXPECT_TRUE(receiver_.wait_for_distinct(before + static_cast<std::size_t>(count)));
        tally.expect_settled();
    }
    // Each message of the database from this id on has its key, and the stream has an entry for each.
    void expect_receipts(long from_id = 1) {
        Stores db(database_);
        EXPECT_TRUE(wait_until([&] { return db.number("SELECT count(*) FROM messaging._receipt_backlog") == 0; })) << redis_.run({"INFO"});
        const long last = db.number("SELECT max(id) FROM messages");
        std::vector<std::string> keys{"EXISTS"};
        for (long id = from_id; id <= last; ++id) keys.push_back("message:" + std::to_string(id));
        EXPECT_EQ(redis_.run(keys), std::to_string(last - from_id + 1));
        EXPECT_GE(std::stol(redis_.run({"XLEN", "messages:sent"})), last - from_id + 1);
    }
    void finish(Tally& tally) {
        tally.expect_recovered();
        tally.expect_none_lost(0);
    }

    PrivateRedis redis_;
    ScriptedReceiver receiver_;
    std::string database_ = migrated(empty_database());
    std::unique_ptr<Service> service_;
};

TEST_F(Redis, AbsentAtTheStart) {
    Tally tally("Redis absent at the start", database_, receiver_);
    redis_.stop();
    const Service& service = serve();
    send(tally, 500);
    EXPECT_GT(service.metric("messaging_redis_errors_total"), 0);
    redis_.start();
    finish(tally);
    expect_receipts();
}

TEST_F(Redis, StoppedInTheMiddle) {
    Tally tally("Redis stopped in the middle", database_, receiver_);
    const Service& service = serve();
    send(tally, 500);
    expect_receipts();
    redis_.stop();
    send(tally, 500);
    EXPECT_GT(service.metric("messaging_redis_errors_total"), 0);
    redis_.start();
    finish(tally);
    expect_receipts(501);
    EXPECT_EQ(service.metric("messaging_reconnects_total{session=\"redis\"}"), 1);
}

TEST_F(Redis, HangingItHoldsNothingUp) {
    constexpr int kRounds = 3;
    Tally tally("Redis hanging", database_, receiver_);
    const Service& service = serve();
    send(tally, 200);
    const auto seconds_for = [&](long count) {
        const SteadyTime began = std::chrono::steady_clock::now();
        send(tally, count);
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    };
    double healthy = 1e9;
    double hanging = 1e9;
    for (int round = 0; round < kRounds; ++round) {
        healthy = std::min(healthy, seconds_for(3000));
        redis_.pause();
        hanging = std::min(hanging, seconds_for(3000));
        redis_.resume();
        expect_receipts();
    }
    std::printf(
        "3,000 messages sent and recorded, best of %d: %.2f s beside a Redis that answers, %.2f s beside one that hangs\n",
        kRounds, healthy, hanging);
    EXPECT_LT(hanging, healthy * 2 + 1) << "a loaded machine may double it; waiting for Redis would add its deadline of 3 s";
    redis_.pause();
    send(tally, 200);
    EXPECT_TRUE(wait_until([&] { return service.metric("messaging_redis_errors_total") > 0; })) << "its silence is noticed";
    send(tally, 200);
    redis_.resume();
    finish(tally);
    expect_receipts();
}

TEST_F(Redis, FullItRefusesAndIsAskedAgain) {
    Tally tally("Redis out of memory", database_, receiver_);
    const Service& service = serve();
    redis_.run({"CONFIG", "SET", "maxmemory", "1"});
    send(tally, 500);
    EXPECT_TRUE(wait_until([&] { return service.metric("messaging_troubles_total{what=\"receipts\"}") > 0; }));
    redis_.run({"CONFIG", "SET", "maxmemory", "0"});
    finish(tally);
    expect_receipts();
}

TEST_F(Redis, FlushedItGetsWhatIsSentAfterwards) {
    Tally tally("Redis flushed", database_, receiver_);
    serve();
    send(tally, 100);
    expect_receipts();
    redis_.run({"FLUSHALL"});
    send(tally, 100);
    finish(tally);
    expect_receipts(101);
}

TEST_F(Redis, WhatAKilledServiceHadNotWrittenIsWrittenAfterTheRestart) {
    Tally tally("killed with receipts unwritten", database_, receiver_);
    Service& service = serve();
    redis_.stop();
    send(tally, 500);
    service.send(SIGKILL);
    service.wait();
    redis_.start();
    serve();
    finish(tally);
    expect_receipts();
}

}  // namespace
}  // namespace messaging::test
