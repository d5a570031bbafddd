// Names whose addresses change: dnsmasq answers the service's look-ups, and every address that it names leads to the test. So a
// connection that must not be would be made, and counted.
#include "support/name_server.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "http_client/sockets.h"
#include "support/private_network.h"
#include "support/raw_tcp.h"
#include "support/world.h"

namespace messaging::test {
namespace {

using std::chrono::seconds;

constexpr const char* kAllowed = "127.0.0.1";
constexpr const char* kForbidden = "127.0.0.2";
constexpr const char* kMetadata = "169.254.169.254";  // of a cloud
constexpr const char* kNat64 = "64:ff9b::7f00:2";     // leads to kForbidden
constexpr const char* kAdvice = "; allow it with ALLOWED_NETWORKS";
constexpr seconds kCacheTime = http_client::kNameCacheTime;

// In it the addresses that are not loopback's by themselves lead to the test, too.
class Network : public PrivateNetwork {
public:
    Network() {
        if (!why_not().empty()) return;
        for (const char* address : {kMetadata, kNat64}) add_address(address);
    }
};

const PrivateNetwork& network() {
    static const Network entered;
    return entered;
}

// Accepts every message, each on a connection of its own, and remembers by which of its addresses it was reached.
class ReachedReceiver {
public:
    int port() const { return server_.port(); }
    std::string url(const std::string& host) const { return "http://" + host + ":" + std::to_string(port()) + "/hook"; }
    std::size_t reached(const std::string& address) const {
        const std::lock_guard lock(mutex_);
        const auto found = reached_.find(address);
        return found == reached_.end() ? 0 : found->second;
    }
    std::size_t connections() const { return server_.connections(); }

private:
    void answer(RawPeer& peer) {
        {
            const std::lock_guard lock(mutex_);
            ++reached_[peer.reached_at()];
        }
        if (!peer.read_request().empty()) peer.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    }

    mutable std::mutex mutex_;
    std::map<std::string, std::size_t> reached_;
    RawServer server_{[this](RawPeer& peer) { answer(peer); }, Listen::kEverywhere};
};

class NameServerTest : public testing::Test {
protected:
    void SetUp() override {
        if (const std::string why = NameServer::why_not(); !why.empty()) GTEST_SKIP() << "NOT RUN: " << why;
        if (!network().why_not().empty()) GTEST_SKIP() << "NOT RUN: " << network().why_not();
        names_.emplace();
        receiver_.emplace();
        service_.emplace(Environment{{"WEBHOOK_URL", receiver_->url(kAllowed)},
                                     {"ALLOWED_NETWORKS", kAllowed},
                                     {"ENGINES", "1"},
                                     {"MAX_ATTEMPTS", "1000"},
                                     {"BREAKER_FAILURES", "1000"},
                                     {"BACKOFF_BASE", "100ms"},
                                     {"BACKOFF_CAP", "1s"}});
    }

    void create(const std::string& name, const std::string& url) {
        const HttpReply reply =
            call("POST", service_->url("/endpoints"), R"({"name": ")" + name + R"(", "url": ")" + url + R"("})");
        EXPECT_EQ(reply.status, 201) << reply.body;
    }
    void insert(const std::string& endpoint) {
        service_->sql(
            "INSERT INTO messages (recipient, content, endpoint_id) SELECT 'a', 'b', id FROM messaging.endpoints WHERE name = '" +
            endpoint + "'");
    }
    std::string last_error(const std::string& endpoint) {
        return service_->sql(
            "SELECT m.last_error FROM messages m JOIN messaging.endpoints e ON e.id = m.endpoint_id WHERE e.name = '" + endpoint +
            "'");
    }
    bool all_sent() {
        return wait_until([&] { return service_->sql("SELECT count(*) FROM messages WHERE NOT is_sent") == "0"; });
    }
    double forbidden_attempts() const { return service_->metric("messaging_attempt_faults_total{fault=\"forbidden\"}"); }

    std::optional<NameServer> names_;
    std::optional<ReachedReceiver> receiver_;
    std::optional<Service> service_;
};

TEST_F(NameServerTest, WhatANameMayNotMeanIsRefusedWithAReasonAndSentOnceItMeansAnAllowedAddress) {
    struct Case {
        std::string name;
        std::vector<std::string> addresses;
        std::string reason;
    };
    const std::vector<Case> cases = {
        {"loopback", {kForbidden}, "127.0.0.2 is a loopback address"},
        {"metadata", {kMetadata}, "169.254.169.254 is a link-local address"},
        {"mapped", {"::ffff:127.0.0.2"}, "127.0.0.2 is a loopback address"},
        {"nat64", {kNat64}, "64:ff9b::7f00:2 leads to 127.0.0.2, a loopback address"},
        {"ipv6", {"::1"}, "::1 is a loopback address"},
        {"several", {kForbidden, "127.0.0.3", "127.0.0.4"}, "is a loopback address"},
    };
    NameServer::Names forbidden;
    NameServer::Names allowed;
    for (const Case& one : cases) {
        forbidden[one.name + ".test"] = one.addresses;
        allowed[one.name + ".test"] = {kAllowed};
    }
    names_->set(forbidden);
    for (const Case& one : cases) {
        create(one.name, receiver_->url(one.name + ".test"));
        insert(one.name);
    }
    for (const Case& one : cases) {
        EXPECT_TRUE(wait_until([&] { return last_error(one.name).ends_with(one.reason + kAdvice); }))
            << one.name << ": " << last_error(one.name);
    }
    EXPECT_GE(forbidden_attempts(), cases.size());
    names_->set(allowed);
    const auto begun = std::chrono::steady_clock::now();
    EXPECT_TRUE(wait_until([&] { return receiver_->reached(kAllowed) >= cases.size(); }, kCacheTime + kPatience));
    EXPECT_TRUE(all_sent());
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
    std::printf(
        "names mean forbidden addresses, then an allowed one: committed %zu, received %zu, lost 0, duplicated 0, "
        "seconds to recover %.1f\n",
        cases.size(), receiver_->connections(), took.count());
    EXPECT_EQ(receiver_->reached(kAllowed), cases.size());
    EXPECT_EQ(receiver_->connections(), cases.size()) << "and nobody has connected to another address";
}

TEST_F(NameServerTest, OfSeveralAddressesOnlyTheAllowedOneIsUsed) {
    const std::vector<std::vector<std::string>> answers = {
        {kForbidden, kAllowed}, {kMetadata, kAllowed}, {kNat64, kAllowed}, {"::1", "::ffff:127.0.0.2", kAllowed, kForbidden}};
    NameServer::Names mixed;
    for (std::size_t i = 0; i < answers.size(); ++i) mixed["mixed" + std::to_string(i) + ".test"] = answers[i];
    names_->set(mixed);
    for (std::size_t i = 0; i < answers.size(); ++i) {
        const std::string name = "mixed" + std::to_string(i);
        create(name, receiver_->url(name + ".test"));
        insert(name);
    }
    EXPECT_TRUE(all_sent());
    EXPECT_EQ(service_->sql("SELECT max(attempts) FROM messages"), "1");
    EXPECT_EQ(receiver_->reached(kAllowed), answers.size());
    EXPECT_EQ(receiver_->connections(), answers.size());
}

TEST_F(NameServerTest, ANameThatDoesNotExistIsTriedAgainUntilItDoes) {
    create("later", receiver_->url("later.test"));
    insert("later");
    EXPECT_TRUE(wait_until([&] { return last_error("later").find("later.test") != std::string::npos; })) << last_error("later");
    EXPECT_GT(service_->metric("messaging_attempt_faults_total{fault=\"dns\"}"), 0);
    names_->set({{"later.test", {kAllowed}}});
    EXPECT_TRUE(all_sent());
    EXPECT_EQ(forbidden_attempts(), 0);
}

// Another port is another receiver, for which libcurl asks the name server again.
TEST_F(NameServerTest, ANameThatWasGoodForOneReceiverIsJudgedAnewForTheNext) {
    const ReachedReceiver inner;
    names_->set({{"moving.test", {kAllowed}}});
    create("first", receiver_->url("moving.test"));
    create("second", inner.url("moving.test"));
    insert("first");
    EXPECT_TRUE(all_sent());
    names_->set({{"moving.test", {kForbidden}}});
    insert("second");
    EXPECT_TRUE(wait_until([&] { return last_error("second") == std::string("127.0.0.2 is a loopback address") + kAdvice; }))
        << last_error("second");
    EXPECT_EQ(inner.connections(), 0u);
}

// The name server changes its mind all the time, so the answers of some two look-ups in a row differ.
TEST_F(NameServerTest, NobodyConnectsToAForbiddenAddressHoweverOftenTheAnswersChange) {
    constexpr int kNames = 200;
    NameServer::Names good;
    NameServer::Names bad;
    for (int i = 0; i < kNames; ++i) {
        good["turning" + std::to_string(i) + ".test"] = {kAllowed};
        bad["turning" + std::to_string(i) + ".test"] = {kForbidden};
    }
    service_->sql("INSERT INTO messaging.endpoints (name, url) SELECT 'turning' || i, format('http://turning%s.test:" +
                  std::to_string(receiver_->port()) + "/', i) FROM generate_series(0, " + std::to_string(kNames - 1) + ") i");
    const auto tried = [&] { return std::stoi(service_->sql("SELECT count(*) FROM messages WHERE attempts > 0")); };
    for (int step = 0; tried() < kNames && step < 1000; ++step) {
        names_->set(step % 2 == 0 ? bad : good);
        service_->sql(
            "INSERT INTO messages (recipient, content, endpoint_id) SELECT 'a', 'b', id FROM messaging.endpoints e "
            "WHERE name LIKE 'turning%' AND NOT EXISTS (SELECT FROM messages m WHERE m.endpoint_id = e.id) LIMIT 10");
    }
    EXPECT_EQ(tried(), kNames);
    EXPECT_GT(forbidden_attempts(), 0);
    EXPECT_GT(receiver_->reached(kAllowed), 0u);
    EXPECT_EQ(receiver_->connections(), receiver_->reached(kAllowed));
}

}  // namespace
}  // namespace messaging::test
