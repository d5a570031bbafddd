// Redis absent, stopped, hanging, refusing or flushed: sending does not notice, and each receipt is written once afterwards.
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <functional>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "support/private_postgres.h"
#include "support/private_redis.h"
#include "support/raw_tcp.h"
#include "support/stores.h"
#include "support/tally.h"
#include "support/world.h"

namespace messaging::test {
namespace {

using std::chrono::seconds;

class Redis : public testing::Test {
protected:
    // The stream keeps all: so its length tells how often receipts were written.
    Environment environment() {
        return {{"WEBHOOK_URL", receiver_.url()}, {"REDIS_URL", redis_.url()}, {"RECEIPT_STREAM_MAX", "1000000000"}};
    }
    Service& serve() {
        service_ = std::make_unique<Service>(environment(), database_);
        return *service_;
    }
    // Commits so many, and sees all of them sent and recorded whatever Redis does.
    void send(Tally& tally, long count) {
        const auto before = receiver_.distinct();
        commit_messages(database_, count);
        EXPECT_TRUE(receiver_.wait_for_distinct(before + static_cast<std::size_t>(count), seconds(60)));
        tally.expect_settled();
    }
    // Each message of the database from this id on has its key, and the stream has an entry for each.
    void expect_receipts(long from_id = 1) {
        Stores db(database_);
        EXPECT_TRUE(wait_until([&] { return db.number("SELECT count(*) FROM messaging._receipt_backlog") == 0; }))
            << redis_.run({"INFO"});
        const long last = db.number("SELECT max(id) FROM messages");
        constexpr const char* kCountKeys =
            "local n = 0 for i = ARGV[1], ARGV[2] do n = n + redis.call('EXISTS', 'message:' .. string.format('%d', i)) end "
            "return n";
        EXPECT_EQ(redis_.run({"EVAL", kCountKeys, "0", std::to_string(from_id), std::to_string(last)}),
                  std::to_string(last - from_id + 1));
        EXPECT_EQ(redis_.run({"XLEN", "messages:sent"}), std::to_string(last - from_id + 1)) << "each once";
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

// A Redis that answers, and takes no receipts.
struct Refusal {
    std::string name;
    std::function<void(const PrivateRedis&)> begin;
    std::function<void(const PrivateRedis&)> end;
};

std::vector<Refusal> refusals() {
    return {{"OOM",
             [](const PrivateRedis& redis) {
                 redis.run({"CONFIG", "SET", "maxmemory", "1"});
             },
             [](const PrivateRedis& redis) {
                 redis.run({"CONFIG", "SET", "maxmemory", "0"});
             }},
            {"READONLY",
             [](const PrivateRedis& redis) {
                 redis.run({"REPLICAOF", "127.0.0.1", "1"});
             },
             [](const PrivateRedis& redis) {
                 redis.run({"REPLICAOF", "NO", "ONE"});
                 redis.run({"CONFIG", "SET", "repl-backlog-ttl", "1"});  // else each write is kept for replicas, and costs more
             }},
            {"WRONGTYPE",
             [](const PrivateRedis& redis) {
                 redis.run({"RENAME", "messages:sent", "kept"});
                 redis.run({"SET", "messages:sent", "x"});
             },
             [](const PrivateRedis& redis) {
                 redis.run({"RENAME", "kept", "messages:sent"});
             }}};
}

// When the service's log has said something of receipts, in milliseconds of the day.
std::vector<long> receipt_lines(const std::string& log) {
    std::vector<long> times;
    std::istringstream lines(log);
    for (std::string line; std::getline(lines, line);) {
        if (line.find(" receipts") == std::string::npos) continue;
        const auto number = [&](std::size_t at, std::size_t size) { return std::stol(line.substr(at, size)); };
        times.push_back(((number(11, 2) * 60 + number(14, 2)) * 60 + number(17, 2)) * 1000 + number(20, 3));
    }
    return times;
}

void expect_two_lines_a_minute(const std::string& log) {
    constexpr long kDay = 24L * 3600 * 1000;
    const std::vector<long> times = receipt_lines(log);
    EXPECT_GE(times.size(), 2U) << "the failure, and the recovery";
    for (std::size_t i = 2; i < times.size(); ++i) {
        EXPECT_GE((times[i] - times[i - 2] + kDay) % kDay, 59'900) << "three lines within a minute:\n" << log;
    }
    std::printf("%zu lines about receipts in the log\n", times.size());
}

TEST_F(Redis, RefusingItSlowsNothingDownAndIsNotAskedAsFastAsItAnswers) {
    constexpr int kRounds = 5;
    constexpr long kMessages = 8000;
    Tally tally("Redis refusing", database_, receiver_);
    const Service& service = serve();
    send(tally, kMessages);
    const auto rate = [&] {
        const SteadyTime began = std::chrono::steady_clock::now();
        send(tally, kMessages);
        return kMessages / std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    };
    const auto scripts_run = [&] {
        const std::string stats = redis_.run({"INFO", "commandstats"});
        const auto at = stats.find("cmdstat_eval:calls=");
        return at == std::string::npos ? 0L : std::stol(stats.substr(at + 19));
    };
    // Each run beside one of the other kind, and every second time in the other order.
    std::vector<std::vector<double>> ratios(refusals().size());
    for (int round = 0; round < kRounds; ++round) {
        for (std::size_t kind = 0; kind < refusals().size(); ++kind) {
            const Refusal refusal = refusals()[kind];
            double answering = round % 2 == 0 ? rate() : 0;
            expect_receipts();
            const double refused_before = service.metric("messaging_dependency_errors_total{operation=\"receipts\"}");
            const long asked_before = scripts_run();
            refusal.begin(redis_);
            const double refusing = rate();
            EXPECT_GT(service.metric("messaging_dependency_errors_total{operation=\"receipts\"}"), refused_before)
                << refusal.name;
            EXPECT_LT(scripts_run() - asked_before, 60) << refusal.name;
            refusal.end(redis_);
            expect_receipts();
            if (round % 2 == 1) answering = rate();
            ratios[kind].push_back(refusing / answering);
        }
    }
    std::vector<double> all;
    const auto median_of = [](std::vector<double>& values) {
        std::sort(values.begin(), values.end());
        return values[values.size() / 2];
    };
    for (std::size_t kind = 0; kind < refusals().size(); ++kind) {
        all.insert(all.end(), ratios[kind].begin(), ratios[kind].end());
        const double median = median_of(ratios[kind]);
        std::printf("%s: %.2f of the rate beside a Redis that answers (median of %d; %.2f to %.2f)\n",
                    refusals()[kind].name.c_str(), median, kRounds, ratios[kind].front(), ratios[kind].back());
        EXPECT_GE(median, 0.7) << refusals()[kind].name;
    }
    std::printf("a Redis that refuses: %.2f of the rate beside one that answers (median of %zu)\n", median_of(all), all.size());
    EXPECT_GE(median_of(all), 0.9) << "0.95 and more on a machine that does nothing else";
    finish(tally);
    expect_receipts();
    expect_two_lines_a_minute(service.output());
}

// Twenty batches were read, encoded and refused again as fast as they could be, on the session that records.
TEST_F(Redis, WithABacklogOfRefusedBatchesItIsAskedOnceABackOff) {
    Tally tally("Redis refusing a backlog", database_, receiver_);
    const Service& service = serve();
    Stores db(database_);
    redis_.run({"CONFIG", "SET", "maxmemory", "1"});
    const auto unconfirmed = [&] { return db.number("SELECT count(*) FROM messaging._receipt_backlog"); };
    while (unconfirmed() < 40 && !HasFailure()) send(tally, 100);
    const double before = service.metric("messaging_dependency_errors_total{operation=\"receipts\"}");
    const SteadyTime began = std::chrono::steady_clock::now();
    EXPECT_TRUE(wait_until([&] { return std::chrono::steady_clock::now() > began + seconds(5); }));
    const double refused = service.metric("messaging_dependency_errors_total{operation=\"receipts\"}") - before;
    std::printf("%ld unconfirmed batches: %.0f were refused in 5 s\n", static_cast<long>(unconfirmed()), refused);
    EXPECT_LE(refused, 8);
    redis_.run({"CONFIG", "SET", "maxmemory", "0"});
    expect_receipts();
    finish(tally);
    expect_receipts();
    expect_two_lines_a_minute(service.output());
}

TEST_F(Redis, ThreeProcessesThatAreRestartedOneAfterTheOtherWriteEachReceiptOnce) {
    Tally tally("rolling restarts with receipts", database_, receiver_);
    Stores db(database_);
    std::vector<std::unique_ptr<Service>> services;
    for (int i = 0; i < 3; ++i) services.push_back(std::make_unique<Service>(environment(), database_));
    for (int round = 0; round < 3; ++round) {
        for (auto& service : services) {
            commit_messages(database_, 3000);
            ASSERT_TRUE(receiver_.wait_for(receiver_.count() + 300));
            service->send(SIGTERM);
            EXPECT_EQ(service->wait(), 0) << service->output();
            EXPECT_EQ(db.sql("SELECT string_agg(batch_id::text, ' ') FROM messaging._receipt_backlog b "
                             "WHERE NOT EXISTS (SELECT FROM messaging._instance i WHERE i.instance_id = b.instance_id)"),
                      "")
                << "it has left receipts to the others";
            service = std::make_unique<Service>(environment(), database_);
        }
    }
    tally.expect_settled();
    finish(tally);
    expect_receipts();
}

TEST_F(Redis, AStopDoesNotWaitForIt) {
    Tally tally("stopped while Redis is away, refuses, hangs", database_, receiver_);
    const auto stop = [&] {
        const SteadyTime at = std::chrono::steady_clock::now();
        service_->send(SIGTERM);
        EXPECT_EQ(service_->wait(), 0) << service_->output();
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - at).count();
    };
    serve();
    redis_.run({"CONFIG", "SET", "maxmemory", "1"});
    send(tally, 500);
    const double refusing = stop();
    redis_.run({"CONFIG", "SET", "maxmemory", "0"});
    serve();
    send(tally, 500);
    expect_receipts();
    redis_.pause();
    send(tally, 500);
    const double hanging = stop();
    redis_.resume();
    serve();
    expect_receipts();
    redis_.stop();
    send(tally, 500);
    const double away = stop();
    redis_.start();
    serve();
    finish(tally);
    expect_receipts(1501);
    std::printf("stopped within %.1f s beside a Redis that refuses, %.1f s where it hangs, %.1f s where it is away\n", refusing,
                hanging, away);
    EXPECT_LT(refusing, 2);
    EXPECT_LT(hanging, 5) << "the deadline of its answers, 3 s";
    EXPECT_LT(away, 2);
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

// Whatever listens there: hiredis's asynchronous part ended the process on the first of these, and 14 bytes of the last cost 16
// GB.
TEST(LyingRedis, NothingThatItSaysEndsTheServiceOrStopsTheSending) {
    for (const std::string& lie :
         {std::string("+hello\r\n"), std::string(":1\r\n"), std::string("*1\r\n+x\r\n"), std::string("*2147483647\r\n"),
          std::string("$2147483647\r\n"), std::string("-LOADING\r\n"), std::string("HTTP/1.1 400 Bad Request\r\n\r\n")}) {
        RawServer liar([&](RawPeer& peer) {
            if (peer.read_until("PING\r\n")) peer.send("+PONG\r\n");
            peer.send(lie);
            while (peer.read_until("\r\n")) peer.send(lie);
        });
        ScriptedReceiver receiver;
        const std::string database = migrated(empty_database());
        Service service({{"WEBHOOK_URL", receiver.url()}, {"REDIS_URL", "redis://127.0.0.1:" + std::to_string(liar.port())}},
                        database);
        commit_messages(database, 600);
        EXPECT_TRUE(receiver.wait_for_distinct(600)) << lie;
        EXPECT_TRUE(wait_until([&] { return service.sql("SELECT count(*) FROM messages WHERE is_sent") == "600"; })) << lie;
        EXPECT_LT(service.resident_bytes(), 100 << 20) << lie;
        EXPECT_NE(service.sql("SELECT count(*) FROM messaging._receipt_backlog"), "0") << lie;
    }
}

TEST(WithoutRedis, AnEmptyUrlMeansNoReceiptsAndNoBacklog) {
    ScriptedReceiver receiver;
    const std::string database = migrated(empty_database());
    Service service({{"WEBHOOK_URL", receiver.url()}, {"REDIS_URL", ""}}, database);
    commit_messages(database, 600);
    EXPECT_TRUE(receiver.wait_for_distinct(600));
    EXPECT_TRUE(wait_until([&] { return service.sql("SELECT count(*) FROM messages WHERE is_sent") == "600"; }));
    EXPECT_EQ(service.sql("SELECT count(*) FROM messaging._receipt_backlog"), "0");
    EXPECT_EQ(http_get(service.url("/readyz")).status, 200);
    EXPECT_EQ(http_get(service.url("/readyz?verbose")).body.find("redis"), std::string::npos);
}

}  // namespace
}  // namespace messaging::test
