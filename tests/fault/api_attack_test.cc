// The API under attack: it answers or closes, its memory stays bounded, and sending goes on.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <tuple>
#include <utility>

#include "support/private_postgres.h"
#include "support/raw_tcp.h"
#include "support/stores.h"
#include "support/tally.h"
#include "support/world.h"

namespace messaging::test {
namespace {

using std::chrono::seconds;

constexpr long kMemoryBound = 200L << 20;

class ApiAttack : public testing::Test {
protected:
    int port() const {
        const std::string url = service_.url("");
        return std::stoi(url.substr(url.rfind(':') + 1));
    }
    int connection() { return connection(port()); }
    // Open until the test ends.
    int connection(int to_port) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.sin_port = htons(static_cast<in_port_t>(to_port));
        const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        EXPECT_EQ(connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
        open_.push_back(fd);
        return fd;
    }
    static void say(int fd, const std::string& text) {
        static_cast<void>(send(fd, text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT));
    }
    static std::string post(const std::string& body) {
        return "POST /messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: " +
               std::to_string(body.size()) + "\r\n\r\n" + body;
    }
    static std::size_t count(const std::string& text, const std::string& part) {
        std::size_t found = 0;
        for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
        return found;
    }
    // Sending and the API still work, and the memory is bounded.
    void expect_unimpressed(Tally& tally) {
        const SteadyTime asked = std::chrono::steady_clock::now();
        EXPECT_EQ(call("GET", service_.url("/status")).status, 200);
        tally.expect_no_longer_than(seconds(2), asked);
        tally.expect_settled();
        tally.expect_recovered();
        tally.expect_none_lost(0);
        EXPECT_LT(service_.resident_bytes(), kMemoryBound);
        std::printf("resident memory %ld MB\n", service_.resident_bytes() >> 20);
    }

    ApiAttack() {
        rlimit files{};
        getrlimit(RLIMIT_NOFILE, &files);
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
        commit_messages(database_, 3000);  // to be sent meanwhile
    }
    ~ApiAttack() override {
        for (const int fd : open_) close(fd);
    }

    ScriptedReceiver receiver_;
    std::string database_ = migrated(empty_database());
    Service service_{{{"WEBHOOK_URL", receiver_.url()}}, database_};
    std::vector<int> open_;
};

TEST_F(ApiAttack, AThousandIdleConnectionsAndAThousandSlowOnes) {
    Tally tally("1,000 idle and 1,000 slow connections to the API", database_, receiver_);
    for (int i = 0; i < 1000; ++i) connection();
    for (int i = 0; i < 1000; ++i) say(connection(), "GET /status HTTP/1.1\r\nX-Slow: ");
    for (int round = 0; round < 10; ++round) {
        for (const int fd : open_) say(fd, "a");
    }
    expect_unimpressed(tally);
}

// Each connection that the API holds is a descriptor that the sending has not.
TEST_F(ApiAttack, MoreIdleConnectionsThanDescriptorsLeaveSomeForTheSending) {
    Tally tally("1,000 idle connections to the API, 256 descriptors", database_, receiver_);
    tally.expect_settled();
    rlimit before{};
    ASSERT_EQ(prlimit(service_.pid(), RLIMIT_NOFILE, nullptr, &before), 0);
    const rlimit few{256, before.rlim_max};
    ASSERT_EQ(prlimit(service_.pid(), RLIMIT_NOFILE, &few, nullptr), 0);
    for (int i = 0; i < 1000; ++i) connection();
    const SteadyTime began = std::chrono::steady_clock::now();
    // By another name of the receiver, so that no open connection serves.
    service_.sql("WITH other AS (INSERT INTO messaging.endpoints (name, url) VALUES ('other', 'http://localhost:" +
                 std::to_string(receiver_.port()) +
                 "/') RETURNING id) INSERT INTO messages (recipient, content, endpoint_id) SELECT 'a', 'b', id FROM other, "
                 "generate_series(1, 2000)");
    ASSERT_TRUE(receiver_.wait_for_distinct(5000));
    tally.expect_no_longer_than(seconds(10), began);
    tally.expect_settled();
    for (const int fd : std::exchange(open_, {})) close(fd);
    EXPECT_TRUE(wait_until([&] { return http_get(service_.url("/livez")).status == 200; })) << "others are served again";
    ASSERT_EQ(prlimit(service_.pid(), RLIMIT_NOFILE, &before, nullptr), 0);
    EXPECT_EQ(service_.sql("SELECT max(attempts) FROM messages"), "1");
    EXPECT_GT(sample(http_get(service_.url("/metrics")).body, "messaging_api_pauses_total"), 0);
    expect_unimpressed(tally);
}

TEST_F(ApiAttack, AHundredThousandBadRequests) {
    Tally tally("100,000 bad requests to the API", database_, receiver_);
    const std::vector<std::string> bad = {post("{"),
                                          post("5"),
                                          post(R"({"recipient":1})"),
                                          "GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n",
                                          "GET /messages?limit=x HTTP/1.1\r\nHost: localhost\r\n\r\n",
                                          "DELETE /status HTTP/1.1\r\nHost: localhost\r\n\r\n"};
    constexpr std::size_t kRounds = 100;
    constexpr std::size_t kInOneGo = 1000;
    std::string requests;
    for (std::size_t i = 0; i < kInOneGo; ++i) requests += bad[i % bad.size()];
    for (std::size_t round = 0; round < kRounds; ++round) {
        const std::string answers =
            raw_exchange(port(), requests, [&](const std::string& so_far) { return count(so_far, "HTTP/1.1 4") >= kInOneGo; });
        ASSERT_EQ(count(answers, "HTTP/1.1 4"), kInOneGo) << "pipelined, each is answered";
        ASSERT_EQ(count(answers, "HTTP/1.1 "), kInOneGo);
    }
    expect_unimpressed(tally);
}

TEST_F(ApiAttack, DeepHugeAndCrookedJson) {
    Tally tally("hostile JSON to the API", database_, receiver_);
    const std::vector<std::string> bodies = {
        std::string(100'000, '['), std::string(50'000, '[') + std::string(50'000, ']'),
        R"({"recipient":"a","content":)" + std::string(900'000, ' ') + "\"b\"}{",
        R"({"recipient":)" + std::string(1, '1') + "." + std::string(308, '0') + "e-" + std::string(100, '9') + "}",
        R"({"recipient":"a","content":1.)" + std::string(100, '1') +
            "e-2147483638}",  // 114 bytes that overflow RapidJSON's exponent
        // CVE-2024-38517: RapidJSON's number parser reads behind its buffer for some of these.
        "1" + std::string(112, '0') + "e", "-" + std::string(113, '9'), "\xEF\xBB\xBF{}",
        std::string("{\"recipient\":\"a\0b\"}", 19)};
    for (int round = 0; round < 20; ++round) {
        for (const std::string& body : bodies) {
            const HttpReply reply = call("POST", service_.url("/messages"), body);
            EXPECT_TRUE(reply.status == 400 || reply.status == 413 || reply.status == 422)
                << reply.status << " " << body.substr(0, 60);
        }
    }
    expect_unimpressed(tally);
}

TEST_F(ApiAttack, ClientsThatNeverRead) {
    Tally tally("clients that never read the API's answers", database_, receiver_);
    std::string many;
    for (int i = 0; i < 200; ++i) many += "GET /messages?status=all&limit=100 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for (int i = 0; i < 50; ++i) {
        const int fd = connection();
        const int small = 4096;
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
        say(fd, many);
    }
    expect_unimpressed(tally);
}

// Bytes without end behind answers that nobody reads: valid requests, and junk behind a refused one. Gigabytes were held.
TEST_F(ApiAttack, BytesWithoutEndBehindAnswersThatNobodyReads) {
    Tally tally("bytes without end behind unread answers", database_, receiver_);
    tally.expect_settled();
    service_.sql("INSERT INTO messages (recipient, content) SELECT 'long', repeat('x', 4096) FROM generate_series(1, 250)");
    tally.expect_settled();
    std::string pages;
    for (int i = 0; i < 16; ++i) {
        pages += "GET /messages?status=all&recipient=long&with_content=true&limit=250 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    }
    std::string heads;
    while (heads.size() < 1u << 20) {
        heads += "GET /livez HTTP/1.1\r\nHost: localhost\r\nX: " + std::string(16'000, 'a') + "\r\n\r\n";
    }
    std::string short_heads;
    while (short_heads.size() < 1u << 20) short_heads += "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    const std::vector<std::tuple<std::string, std::string, std::string>> kinds = {
        {"junk behind a refused request", "BAD\r\n\r\n", std::string(1u << 20, 'x')},
        {"long heads", "", heads},
        {"short heads", "", short_heads},
    };
    for (const auto& [name, first, block] : kinds) {
        const long before = service_.resident_bytes();
        RawClient client(port(), 4096);
        ASSERT_TRUE(client.send(pages));
        EXPECT_EQ(http_get(service_.url("/livez")).status, 200);
        EXPECT_EQ(call("GET", service_.url("/status")).status, 200) << "a query later, an answer is being written";
        ASSERT_TRUE(client.send(first));
        const std::size_t sent = client.flood(block, 256u << 20, std::chrono::milliseconds(500));
        const long more = service_.resident_bytes() - before;
        std::printf("%s: the kernel took %zu MiB, %ld MiB more resident\n", name.c_str(), sent >> 20, more >> 20);
        EXPECT_LT(more, 48L << 20) << name;
    }
    expect_unimpressed(tally);
}

// The loop that reads these bodies also answers the health checks.
TEST_F(ApiAttack, HealthIsAnsweredBesideClientsThatPostFourMegabytesEach) {
    Tally tally("8 clients that post 4 MB bodies", database_, receiver_);
    tally.expect_settled();
    constexpr std::size_t kBytes = 4u << 20;
    std::string messages = "[";
    for (int i = 0; i < 1000; ++i) {
        messages +=
            std::string(i == 0 ? "" : ",") + R"({"recipient":"+905551111111","content":")" + std::string(4000, 'x') + "\"}";
    }
    const auto repeated = [](const std::string& part) {
        std::string text = "[" + part;
        while (text.size() < kBytes) text.append(",").append(part);
        return text + "]";
    };
    std::string escapes;
    while (escapes.size() < kBytes) escapes += "\\u00e7";
    std::string members = "{\"a\":1";
    while (members.size() < kBytes) members += ",\"a" + std::to_string(members.size()) + "\":1";
    members += "}";
    const std::vector<std::pair<std::string, std::string>> kinds = {
        {"1,000 messages", messages + "]"},
        {"numbers", repeated("1")},
        {"empty objects", repeated("{}")},
        {"empty strings", repeated("\"\"")},
        {"one object of many members", members},
        {"one string of escapes", R"({"recipient":"a","content":")" + escapes + "\"}"},
        {"blanks", "{" + std::string(kBytes, ' ') + "}"},
    };
    for (const auto& [name, body] : kinds) {
        std::atomic<bool> enough{false};
        std::atomic<int> answered{0};
        std::atomic<int> refused{0};
        std::vector<std::thread> clients;
        for (int i = 0; i < 8; ++i) {
            clients.emplace_back([&] {
                while (!enough) {
                    const HttpReply reply = call("POST", service_.url("/messages"), body);
                    ++(reply.status == 503 ? refused : answered);
                }
            });
        }
        std::vector<double> health;
        const SteadyTime began = std::chrono::steady_clock::now();
        while (std::chrono::steady_clock::now() - began < seconds(3)) {
            const SteadyTime asked = std::chrono::steady_clock::now();
            EXPECT_EQ(http_get(service_.url("/livez")).status, 200);
            health.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - asked).count());
        }
        enough = true;
        for (std::thread& client : clients) client.join();
        const SteadyTime alone = std::chrono::steady_clock::now();
        for (int i = 0; i < 5; ++i) {
            EXPECT_NE(call("POST", service_.url("/messages"), body).status, 503) << "all of the budget is free again";
        }
        tally.expect_no_longer_than(seconds(10), alone);
        std::printf("one alone: %.0f ms\n",
                    std::chrono::duration<double>(std::chrono::steady_clock::now() - alone).count() * 200);
        std::sort(health.begin(), health.end());
        std::printf(
            "%s: %d bodies answered, %d refused with 503; /livez median %.1f ms, 95 %% %.1f ms, slowest %.1f ms; resident memory "
            "%ld MB\n",
            name.c_str(), answered.load(), refused.load(), health[health.size() / 2] * 1e3,
            health[health.size() * 95 / 100] * 1e3, health.back() * 1e3, service_.resident_bytes() >> 20);
        EXPECT_GT(answered, 0) << name;
        EXPECT_LT(health[health.size() * 95 / 100], 0.1) << name;
    }
    expect_unimpressed(tally);
}

// No token is needed for a head: 8,000 unfinished ones of 16,000 bytes took 290 MB, and as many lines of a few bytes take more.
// The clients come from several addresses: one has not so many ports.
TEST_F(ApiAttack, UnfinishedHeadsOnMoreConnectionsThanAreKept) {
    Tally tally("unfinished heads on 9,000 connections", database_, receiver_);
    tally.expect_settled();
    const std::string first = "GET /livez HTTP/1.1\r\nHost: localhost\r\n";
    std::string short_lines = first;
    while (short_lines.size() < 16'000) short_lines += "a:b\r\n";
    const std::vector<std::pair<std::string, std::string>> kinds = {
        {"one long line", first + "X: " + std::string(16'000, 'a')}, {"short lines", short_lines}, {"nothing", ""}};
    rlimit files{};
    getrlimit(RLIMIT_NOFILE, &files);
    const std::size_t connections = std::min<std::size_t>(9'000, files.rlim_cur - 200);
    for (const auto& [name, head] : kinds) {
        const long before = service_.resident_bytes();
        long most = 0;
        std::vector<double> health;
        for (std::size_t i = 0; i < connections; ++i) {
            const int fd = connection();
            if (!head.empty()) say(fd, head.substr(0, head.size() / 2));
            if (!head.empty()) say(fd, head.substr(head.size() / 2));
            if (i % 100 != 0) continue;
            const SteadyTime asked = std::chrono::steady_clock::now();
            EXPECT_EQ(http_get(service_.url("/livez")).status, 200);
            health.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - asked).count());
            most = std::max(most, service_.resident_bytes());
        }
        const SteadyTime asked = std::chrono::steady_clock::now();
        EXPECT_EQ(call("POST", service_.url("/stop"), "").status, 200);
        EXPECT_EQ(call("POST", service_.url("/start"), "").status, 200);
        tally.expect_no_longer_than(seconds(1), asked);
        std::sort(health.begin(), health.end());
        std::printf("%s: %zu connections, %ld MB more; /livez median %.1f ms, 95 %% %.1f ms, slowest %.1f ms\n", name.c_str(),
                    connections, (most - before) >> 20, health[health.size() / 2] * 1e3, health[health.size() * 95 / 100] * 1e3,
                    health.back() * 1e3);
        EXPECT_LT(most - before, 64 << 20) << name;
        EXPECT_LT(health[health.size() * 95 / 100], 0.1) << name;
        for (const int fd : std::exchange(open_, {})) close(fd);
    }
    expect_unimpressed(tally);
}

// 200 at once, of every kind, beside a drain: huge bodies with and without the token, drips, junk behind good requests, pages of
// other sites, answers that nobody reads. 49 MB of each of 20 were held before anybody was asked for the token: 973 MB.
TEST_F(ApiAttack, TwoHundredHostileConnectionsOfEveryKindAtOnce) {
    Service guarded({{"WEBHOOK_URL", receiver_.url()}, {"API_TOKEN", "right"}}, database_);
    const std::string url = guarded.url("");
    const int guarded_port = std::stoi(url.substr(url.rfind(':') + 1));
    Tally tally("200 hostile connections of every kind", database_, receiver_);
    tally.expect_settled();
    const auto drained_in = [&] {
        const SteadyTime began = std::chrono::steady_clock::now();
        commit_messages(database_, 20'000);
        tally.expect_settled();
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    };
    drained_in();
    const double alone = drained_in();
    const long before = guarded.resident_bytes();
    const std::string token = "Authorization: Bearer right\r\n";
    const auto head = [](const std::string& headers, std::size_t bytes) {
        return "POST /messages HTTP/1.1\r\nHost: localhost\r\n" + headers +
               "Content-Type: application/json\r\nContent-Length: " + std::to_string(bytes) + "\r\n\r\n";
    };
    constexpr std::size_t kHuge = 49u << 20;
    const std::string much(256u << 10, 'x');
    const std::vector<std::string> kinds = {
        head("", kHuge) + much,
        head(token, kHuge) + much,
        head(token, 5u << 20) + much,
        "GET /status HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
        "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\nJUNK\r\n\r\n" + much,
        "POST /stop HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\nContent-Length: 0\r\n\r\n",
        head(token + "Transfer-Encoding: chunked\r\n", 5) + much,
        "GET /messages?status=all&limit=250 HTTP/1.1\r\nHost: localhost\r\n" + token + "\r\n",
        "GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n",
    };
    for (std::size_t i = 0; i < 200; ++i) say(connection(guarded_port), kinds[i % kinds.size()]);
    std::vector<double> health;
    long most = 0;
    const auto look = [&] {
        const SteadyTime asked = std::chrono::steady_clock::now();
        EXPECT_EQ(http_get(guarded.url("/livez")).status, 200);
        health.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - asked).count());
        most = std::max(most, guarded.resident_bytes());
    };
    for (int round = 0; round < 20; ++round) {
        for (std::size_t i = 0; i < open_.size(); ++i) say(open_[i], i % kinds.size() == 3 ? "a" : much);
        look();
    }
    const double beside = drained_in();
    for (int round = 0; round < 20; ++round) look();
    std::sort(health.begin(), health.end());
    std::printf("drain of 20,000: %.2f s alone, %.2f s beside; /livez median %.1f ms, slowest %.1f ms; %ld MB more\n", alone,
                beside, health[health.size() / 2] * 1e3, health.back() * 1e3, (most - before) >> 20);
    EXPECT_LT(most - before, 64 << 20);
    EXPECT_LT(health[health.size() / 2], 0.1);
    EXPECT_EQ(call("GET", guarded.url("/status"), "", {{"Authorization", "Bearer right"}}).status, 200);
    tally.expect_recovered();
    tally.expect_none_lost(0);
}

}  // namespace
}  // namespace messaging::test
