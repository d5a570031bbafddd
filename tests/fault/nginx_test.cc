// Nginx as a receiver: its limits of a connection, its rate limit, reloads and restarts under load. Its access log is what
// counts: every message is in it with a 2xx, and no other message is marked as sent.
#include "support/nginx.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <functional>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "support/private_postgres.h"
#include "support/stores.h"
#include "support/tally.h"
#include "support/world.h"

namespace messaging::test {
namespace {

using std::chrono::seconds;

constexpr long kRequestsOfAConnection = 20;

class NginxTest : public testing::Test {
protected:
    void SetUp() override {
        if (const std::string why = Nginx::why_not(); !why.empty()) GTEST_SKIP() << "NOT RUN: " << why;
    }
    void serve(NginxOptions options, Environment environment = {}) {
        nginx_.emplace(options);
        environment.emplace("WEBHOOK_URL", nginx_->url());
        environment.emplace("ENGINES", "2");
        environment.emplace("MAX_ATTEMPTS", "100");
        environment.emplace("BACKOFF_BASE", "100ms");
        environment.emplace("BACKOFF_CAP", "1s");
        if (options.tls) environment.emplace("CA_CERTIFICATES", nginx_->certificate());
        if (options.http2) environment.emplace("HTTP2", "true");
        service_.emplace(environment);
    }
    long number(const std::string& sql) { return std::stol(service_->sql(sql)); }
    long sent() { return number("SELECT count(*) FROM messages WHERE is_sent"); }

    // Waits until all are sent, and prints the line of the fault.
    void expect_all_sent(const std::string& fault, long committed, long most_duplicates) {
        EXPECT_TRUE(wait_until([&] { return sent() == committed; }, seconds(120))) << sent() << " of " << committed;
        const std::vector<LoggedRequest> log = nginx_->log();
        std::set<std::string> accepted;
        long received = 0;
        for (const LoggedRequest& request : log) {
            if (!request.accepted()) continue;
            accepted.insert(request.webhook_id);
            ++received;
        }
        long unseen = 0;
        Stores db(service_->database_url());
        std::istringstream marked(db.sql("SELECT messaging.webhook_id(id) FROM messages WHERE is_sent"));
        for (std::string id; marked >> id;) unseen += accepted.count(id) == 0 ? 1 : 0;
        const long lost = committed - static_cast<long>(accepted.size());
        const long duplicated = received - static_cast<long>(accepted.size());
        std::printf("%s: committed %ld, received %ld, lost %ld, duplicated %ld, seconds to recover -\n", fault.c_str(), committed,
                    received, lost, duplicated);
        std::fflush(stdout);
        EXPECT_EQ(unseen, 0) << "marked as sent, and not in nginx's log";
        EXPECT_EQ(lost, 0);
        EXPECT_LE(duplicated, most_duplicates);
        EXPECT_EQ(db.sql("SELECT id FROM messaging.misplaced()"), "");
    }
    long longest_connection() const {
        long longest = 0;
        for (const LoggedRequest& request : nginx_->log()) longest = std::max(longest, request.place);
        return longest;
    }
    // A connection ends after so many requests, and when nothing was sent on it for a second.
    static std::string few_requests() {
        return "keepalive_requests " + std::to_string(kRequestsOfAConnection) + ";\nkeepalive_timeout 1s;\n";
    }

    std::optional<Nginx> nginx_;
    std::optional<Service> service_;
};

TEST_F(NginxTest, ConnectionsThatEndAfterFewRequestsCostNoAttempt) {
    constexpr long kMessages = 3000;
    for (const auto& [name, tls] : {std::pair("HTTP/1.1", false), {"TLS", true}}) {
        SCOPED_TRACE(name);
        service_.reset();
        serve({.tls = tls, .server = few_requests()});
        commit_messages(service_->database_url(), kMessages);
        expect_all_sent(std::string("nginx ends connections after 20 requests, ") + name, kMessages, 0);
        EXPECT_EQ(number("SELECT sum(attempts) FROM messages"), kMessages);
        EXPECT_EQ(longest_connection(), kRequestsOfAConnection);
    }
}

// Nginx answers the streams that it has, and closes the connection. Where libcurl is writing to it at that moment, the answers of
// these streams can be lost: the attempts fail, and the messages are sent again.
TEST_F(NginxTest, ConnectionsOfHttp2ThatEndAfterFewRequestsLoseNothing) {
    constexpr long kMessages = 3000;
    serve({.tls = true, .http2 = true, .server = few_requests()});
    commit_messages(service_->database_url(), kMessages);
    expect_all_sent("nginx ends connections after 20 requests, HTTP/2", kMessages, kMessages / 20);
    EXPECT_GE(longest_connection(), kRequestsOfAConnection);
    EXPECT_LE(number("SELECT sum(attempts) FROM messages"), kMessages + kMessages / 20)
        << service_->sql("SELECT string_agg(DISTINCT error, ' / ') FROM messaging._attempt");
}

TEST_F(NginxTest, ARateLimitIsObeyedAndNothingIsDeadLettered) {
    constexpr long kMessages = 600;
    serve({.http = "limit_req_zone $server_port zone=all:1m rate=200r/s;",
           .server = "limit_req zone=all burst=50 nodelay;\nlimit_req_status 429;\nadd_header Retry-After 1 always;"},
          {{"BREAKER_FAILURES", "1000"}});
    commit_messages(service_->database_url(), kMessages);
    expect_all_sent("nginx answers 429 with Retry-After to more than 200 requests a second", kMessages, 0);
    const std::vector<LoggedRequest> log = nginx_->log();
    const auto refused = std::count_if(log.begin(), log.end(), [](const auto& request) { return request.status == 429; });
    EXPECT_GT(refused, 0);
    EXPECT_EQ(number("SELECT count(*) FROM messaging._attempt WHERE status = 429"), refused) << "each has used an attempt";
    EXPECT_LT(refused, kMessages) << "an engine that is told to wait sends no more";
    EXPECT_EQ(number("SELECT count(*) FROM messaging._dead"), 0);
}

TEST_F(NginxTest, ReloadsAndRestartsUnderLoadLoseNothing) {
    constexpr long kBatch = 1000;
    constexpr long kInFlight = 2 * 64;  // of two engines
    // Nginx writes the last request of a connection into its log when the connection is closed, which SIGTERM would prevent for
    // those that linger: requests with an answer would not be in the log.
    serve({.tls = true, .server = few_requests() + "lingering_close off;\n"}, {{"BREAKER_FAILURES", "1000"}});
    long committed = 0;
    // The load is there when the fault comes: some of these messages are sent, and others are not.
    const auto under_load = [&](const std::function<void()>& fault) {
        const long before = sent();
        commit_messages(service_->database_url(), kBatch);
        committed += kBatch;
        EXPECT_TRUE(wait_until([&] { return sent() > before; }));
        fault();
    };
    for (int i = 0; i < 5; ++i) under_load([&] { nginx_->reload(); });
    expect_all_sent("nginx is reloaded, five times", committed, 0);
    for (const int how : {SIGTERM, SIGQUIT, SIGTERM}) {
        under_load([&] {
            nginx_->stop(how);
            nginx_->start();
        });
    }
    expect_all_sent("nginx is stopped and started, three times", committed, 3 * kInFlight);
}

}  // namespace
}  // namespace messaging::test
