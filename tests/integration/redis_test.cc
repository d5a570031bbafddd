// Client against a real Redis, paused and restarted.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <optional>
#include <thread>

#include "redis/client.h"
#include "support/fixed_random.h"
#include "support/loop_runner.h"
#include "support/private_redis.h"
#include "support/raw_tcp.h"

namespace messaging::redis {
namespace {

using std::chrono_literals::operator""ms;
using test::PrivateRedis;
using test::run_until;
using Answer = core::Result<std::string>;

// A client with what it has told.
struct Watched {
    explicit Watched(const std::string& url) {
        options.target = parse_url(url).value();
        options.reconnect_min = 5ms;
    }

    void start() {
        client = std::make_unique<Client>(loop, random, options,
                                          Client::Events{
                                              [this] { ++ups; },
                                              [this](const core::Error& error) { downs.push_back(error); },
                                              [this](const core::Error& error) { failures.push_back(error); },
                                          });
        client->start();
        EXPECT_TRUE(ups == 0 && failures.empty()) << "an event inside start()";
    }
    bool start_and_wait() {
        start();
        return run_until(loop, [this] { return ups == 1; });
    }
    std::optional<Answer> run(const std::vector<std::string>& arguments) {
        std::optional<Answer> answer;
        client->command(arguments, [&](Answer result) { answer = std::move(result); });
        EXPECT_FALSE(answer) << "completed inside the call";
        run_until(loop, [&] { return answer.has_value(); });
        return answer;
    }
    std::string run_text(const std::vector<std::string>& arguments) {
        const auto answer = run(arguments);
        if (!answer) return "no answer";
        return answer->ok() ? answer->value() : answer->error().message;
    }

    loop::EventLoop loop;
    test::FixedRandom random;
    ClientOptions options;
    int ups = 0;
    std::vector<core::Error> downs;
    std::vector<core::Error> failures;
    std::unique_ptr<Client> client;  // depends-on: all of the above
};

TEST(RedisClient, AnswersEachKindOfReply) {
    const PrivateRedis server;
    Watched watched(server.url());
    ASSERT_TRUE(watched.start_and_wait());
    EXPECT_EQ(watched.run_text({"SET", "key", "Grüße"}), "OK");
    EXPECT_EQ(watched.run_text({"GET", "key"}), "Grüße");
    EXPECT_EQ(watched.run_text({"GET", "absent"}), "");
    EXPECT_EQ(watched.run_text({"INCR", "count"}), "1");
    const auto refused = watched.run({"NO_SUCH_COMMAND"});
    ASSERT_TRUE(refused && !refused->ok());
    EXPECT_EQ(refused->error().kind, core::ErrorKind::kInternal);
    EXPECT_TRUE(watched.downs.empty());
    EXPECT_EQ(server.run({"GET", "key"}), "Grüße");
}

TEST(RedisClient, CarriesAnyBytes) {
    const PrivateRedis server;
    Watched watched(server.url());
    watched.options.max_reply_bytes = 8u << 20;
    ASSERT_TRUE(watched.start_and_wait());
    const std::string bytes("a\0b\r\n\xff", 6);
    EXPECT_EQ(watched.run_text({"SET", "key", bytes}), "OK");
    EXPECT_EQ(watched.run_text({"GET", "key"}), bytes);
    const std::string large(4 * 1024 * 1024, 'x');
    EXPECT_EQ(watched.run_text({"SET", "large", large}), "OK");
    EXPECT_EQ(watched.run_text({"GET", "large"}).size(), large.size());
}

TEST(RedisClient, PipelinesInOrder) {
    const PrivateRedis server;
    Watched watched(server.url());
    ASSERT_TRUE(watched.start_and_wait());
    std::vector<std::string> replies;
    for (int i = 0; i < 1000; ++i) {
        watched.client->command({"INCR", "n"}, [&](const Answer& answer) { replies.push_back(answer.value()); });
    }
    ASSERT_TRUE(run_until(watched.loop, [&] { return replies.size() == 1000; }));
    for (std::size_t i = 0; i < replies.size(); ++i) ASSERT_EQ(replies[i], std::to_string(i + 1));
}

TEST(RedisClient, AuthenticatesAndSelectsItsDatabase) {
    const PrivateRedis server("right-password");
    Watched watched(server.url(3));
    ASSERT_TRUE(watched.start_and_wait());
    EXPECT_EQ(watched.run_text({"SET", "key", "value"}), "OK");
    EXPECT_EQ(server.run({"-n", "3", "GET", "key"}), "value");
    Watched named("redis://default:right-password@127.0.0.1:" + std::to_string(server.port()));
    ASSERT_TRUE(named.start_and_wait());
}

TEST(RedisClient, AWrongPasswordIsToldWithoutItAndTriedAgain) {
    const PrivateRedis server("right-password");
    Watched watched("redis://:wrong-password@127.0.0.1:" + std::to_string(server.port()));
    watched.start();
    ASSERT_TRUE(run_until(watched.loop, [&] { return watched.failures.size() >= 2; }));
    EXPECT_NE(watched.failures[0].message.find("WRONGPASS"), std::string::npos) << watched.failures[0].message;
    EXPECT_EQ(watched.failures[0].message.find("wrong-password"), std::string::npos);
    EXPECT_EQ(watched.ups, 0);
    EXPECT_TRUE(watched.downs.empty());
}

TEST(RedisClient, ConnectsThroughAUnixSocket) {
    const PrivateRedis server;
    Watched watched("unix://" + server.socket_path() + "?db=2");
    ASSERT_TRUE(watched.start_and_wait());
    EXPECT_EQ(watched.run_text({"SET", "key", "value"}), "OK");
    EXPECT_EQ(server.run({"-n", "2", "GET", "key"}), "value");
}

// The name may stand for ::1 and 127.0.0.1, and the server listens on the second only.
TEST(RedisClient, TurnsThroughTheAddressesOfAName) {
    const PrivateRedis server;
    Watched watched("redis://localhost:" + std::to_string(server.port()));
    EXPECT_TRUE(watched.start_and_wait());
}

TEST(RedisClient, RefusesCommandsWhileItIsNotUpAndDoesSoLater) {
    const PrivateRedis server;
    Watched watched(server.url());
    watched.start();
    EXPECT_FALSE(watched.client->up());
    const auto answer = watched.run({"PING"});
    ASSERT_TRUE(answer && !answer->ok());
    EXPECT_EQ(answer->error().kind, core::ErrorKind::kUnavailable);
}

TEST(RedisClient, ComesBackAfterARestart) {
    PrivateRedis server;
    Watched watched(server.url());
    ASSERT_TRUE(watched.start_and_wait());
    server.stop();
    ASSERT_TRUE(run_until(watched.loop, [&] { return watched.downs.size() == 1 && watched.failures.size() >= 2; }));
    EXPECT_FALSE(watched.client->up());
    EXPECT_EQ(watched.downs[0].kind, core::ErrorKind::kUnavailable);
    server.start();
    ASSERT_TRUE(run_until(watched.loop, [&] { return watched.ups == 2; }));
    EXPECT_EQ(watched.client->reconnects(), 1u);
    EXPECT_EQ(watched.run_text({"PING"}), "PONG");
}

TEST(RedisClient, WaitsForAServerThatComesLater) {
    PrivateRedis server;
    server.stop();
    for (const std::string& url : {server.url(), "unix://" + server.socket_path()}) {
        Watched watched(url);
        watched.start();
        ASSERT_TRUE(run_until(watched.loop, [&] { return watched.failures.size() >= 2; }));
        server.start();
        ASSERT_TRUE(run_until(watched.loop, [&] { return watched.ups == 1; }));
        EXPECT_EQ(watched.client->reconnects(), 0u);
        server.stop();
    }
}

TEST(RedisClient, FailsWhatIsPendingWhenTheServerDies) {
    PrivateRedis server;
    Watched watched(server.url());
    ASSERT_TRUE(watched.start_and_wait());
    server.pause();
    std::vector<core::ErrorKind> kinds;
    for (int i = 0; i < 2; ++i) {
        watched.client->command({"PING"}, [&](const Answer& answer) {
            ASSERT_FALSE(answer.ok());
            EXPECT_TRUE(watched.downs.empty()) << "on_down comes after the pending commands have failed";
            kinds.push_back(answer.error().kind);
        });
    }
    test::run_once(watched.loop);
    server.stop();
    ASSERT_TRUE(run_until(watched.loop, [&] { return watched.downs.size() == 1; }));
    EXPECT_EQ(kinds, (std::vector<core::ErrorKind>{core::ErrorKind::kUnavailable, core::ErrorKind::kUnavailable}));
}

TEST(RedisClient, CutsASessionThatDoesNotAnswerInTime) {
    PrivateRedis server;
    Watched watched(server.url());
    watched.options.reply_timeout = 100ms;
    watched.options.connect_timeout = 100ms;
    ASSERT_TRUE(watched.start_and_wait());
    server.pause();
    const auto answer = watched.run({"PING"});
    ASSERT_TRUE(answer && !answer->ok());
    EXPECT_EQ(answer->error().kind, core::ErrorKind::kTimeout);
    ASSERT_TRUE(run_until(watched.loop, [&] { return !watched.failures.empty(); }));  // the kernel accepts, nobody answers
    EXPECT_EQ(watched.failures[0].kind, core::ErrorKind::kTimeout);
    server.resume();
    ASSERT_TRUE(run_until(watched.loop, [&] { return watched.ups == 2; }));
    EXPECT_EQ(watched.run_text({"PING"}), "PONG");
}

// Whatever listens there: hiredis's asynchronous part ended the process on each of these.
TEST(RedisClient, WhatNobodyAskedForEndsTheSessionAndNothingElse) {
    const std::string greets = "+OK POP3 server ready\r\n";
    for (const std::string& unasked : {std::string("+unasked\r\n"), std::string(":1\r\n"), std::string("*1\r\n+message\r\n"),
                                       std::string("+PONG\r\n+PONG\r\n"), std::string("hello\r\n")}) {
        std::atomic<int> sessions{0};
        test::RawServer server([&](test::RawPeer& peer) {
            if (++sessions == 2) peer.send(greets);
            if (!peer.read_until("PING\r\n")) return;
            if (sessions != 2) peer.send("+PONG\r\n");
            std::this_thread::sleep_for(20ms);
            peer.send(unasked);
            peer.read_until("never");
        });
        Watched watched("redis://127.0.0.1:" + std::to_string(server.port()));
        watched.start();
        EXPECT_TRUE(run_until(watched.loop, [&] { return watched.ups >= 2 && watched.downs.size() >= 2; }));
        EXPECT_TRUE(watched.failures.size() == 1 && watched.failures[0].message.find("does not answer as Redis does") > 0);
    }
}

// The log had a line that ended in a colon.
TEST(RedisClient, AnErrorWithoutAMessageHasAReasonAllTheSame) {
    test::RawServer server([](test::RawPeer& peer) {
        if (!peer.read_until("PING\r\n")) return;
        peer.send("-\r\n");
        peer.read_until("never");
    });
    Watched watched("redis://127.0.0.1:" + std::to_string(server.port()));
    watched.start();
    ASSERT_TRUE(run_until(watched.loop, [&] { return !watched.failures.empty(); }));
    EXPECT_EQ(watched.failures[0].message, "Redis refused: an error without a message");
}

// 14 bytes cost 16 GB.
TEST(RedisClient, AHugeReplyEndsTheSessionBeforeItIsHeld) {
    std::string nested;
    for (int i = 0; i < 100'000; ++i) nested += "*1\r\n";
    const std::string long_text(3u << 20, 'x');
    for (const std::string& reply :
         {std::string("*2147483647\r\n"), std::string("*1\r\n+a\r\n"), nested, "$2147483647\r\n" + long_text, "+" + long_text,
          "$3000000\r\n" + long_text, std::string("$-7\r\n"), std::string("*-9\r\n"), std::string("$99999999999999999999\r\n")}) {
        test::RawServer server([&](test::RawPeer& peer) {
            if (!peer.read_until("PING\r\n")) return;
            peer.send("+PONG\r\n");
            if (peer.read_until("GET")) peer.send(reply);
            peer.read_until("never");
        });
        Watched watched("redis://127.0.0.1:" + std::to_string(server.port()));
        ASSERT_TRUE(watched.start_and_wait());
        const long before = test::resident_bytes(getpid());
        const auto answer = watched.run({"GET", "a"});
        EXPECT_TRUE(answer && !answer->ok()) << reply.substr(0, 20);
        EXPECT_LT(test::resident_bytes(getpid()) - before, 256 << 20) << reply.substr(0, 20);
        EXPECT_EQ(watched.downs.size(), 1u) << reply.substr(0, 20);
    }
}

TEST(RedisClient, DestroyingItDropsWhatIsPending) {
    const PrivateRedis server;
    Watched watched(server.url());
    ASSERT_TRUE(watched.start_and_wait());
    bool called = false;
    watched.client->command({"PING"}, [&](const Answer&) { called = true; });
    watched.client.reset();
    for (int i = 0; i < 10; ++i) test::run_once(watched.loop);
    EXPECT_FALSE(called);
}

TEST(RedisClient, MayBeDestroyedInItsOwnCompletion) {
    const PrivateRedis server;
    Watched watched(server.url());
    ASSERT_TRUE(watched.start_and_wait());
    bool first = false;
    bool second = false;
    watched.client->command({"PING"}, [&](const Answer&) {
        first = true;
        watched.client.reset();
    });
    watched.client->command({"PING"}, [&](const Answer&) { second = true; });
    ASSERT_TRUE(run_until(watched.loop, [&] { return first; }));
    for (int i = 0; i < 10; ++i) test::run_once(watched.loop);
    EXPECT_FALSE(second);
}

TEST(RedisClient, MayBeDestroyedInAnyOfItsEvents) {
    PrivateRedis server;
    for (const std::string event : {"up", "down", "failed"}) {
        loop::EventLoop loop;
        test::FixedRandom random;
        ClientOptions options;
        options.target = parse_url(server.url()).value();
        if (event == "failed") server.stop();
        std::unique_ptr<Client> client;
        bool up = false;
        bool destroyed = false;
        const auto destroy_at = [&](const std::string& name) {
            if (name != event) return;
            client.reset();
            destroyed = true;
        };
        client = std::make_unique<Client>(
            loop, random, options,
            Client::Events{[&] {
                               up = true;
                               destroy_at("up");
                           },
                           [&](const core::Error&) { destroy_at("down"); }, [&](const core::Error&) { destroy_at("failed"); }});
        client->start();
        if (event == "down") {
            ASSERT_TRUE(run_until(loop, [&] { return up; }));
            server.stop();
        }
        ASSERT_TRUE(run_until(loop, [&] { return destroyed; })) << event;
        for (int i = 0; i < 5; ++i) test::run_once(loop);
        if (event == "down") server.start();
    }
}

}  // namespace
}  // namespace messaging::redis
