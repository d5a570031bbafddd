// The HTTP client connects to no address that the policy refuses, whatever the URL, the resolver or an earlier request says.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <netdb.h>
#include <sys/un.h>

#include <atomic>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "http_client/client.h"
#include "http_client/sockets.h"
#include "http_client/url.h"
#include "support/loop_runner.h"
#include "support/loopback.h"
#include "support/raw_tcp.h"

namespace {

// What the names of this test mean now, in the order in which the resolver answers.
std::mutex names_mutex;
std::map<std::string, std::vector<std::string>> names;

void set_name(const std::string& name, std::vector<std::string> addresses) {
    const std::lock_guard lock(names_mutex);
    names[name] = std::move(addresses);
}

std::vector<std::string> addresses_of(const char* name) {
    const std::lock_guard lock(names_mutex);
    const auto found = name == nullptr ? names.end() : names.find(name);
    return found == names.end() ? std::vector<std::string>() : found->second;
}

}  // namespace

// In the place of the system's resolver, for libcurl too.
extern "C" int getaddrinfo(const char* name, const char* service, const addrinfo* hints, addrinfo** found) {
    static const auto ordinary = reinterpret_cast<decltype(&getaddrinfo)>(dlsym(RTLD_NEXT, "getaddrinfo"));
    const auto addresses = addresses_of(name);
    if (addresses.empty()) return ordinary(name, service, hints, found);
    addrinfo** end = found;
    *end = nullptr;
    for (const std::string& address : addresses) {
        if (ordinary(address.c_str(), service, hints, end) != 0) return EAI_AGAIN;
        while (*end != nullptr) end = &(*end)->ai_next;
    }
    return 0;
}

namespace messaging {
namespace {

using core::AttemptFault;
using http_client::PostResult;
using std::chrono::milliseconds;
using test::Listen;
using test::RawPeer;
using test::RawServer;

// For this test 127.0.0.2 is public, and 127.0.0.1 is not.
constexpr const char* kPublic = "127.0.0.2";

class AddressGuard : public testing::Test {
protected:
    AddressGuard() {
        http_client::ClientOptions options;
        options.addresses = test::allowing(kPublic);
        client_ = std::make_unique<http_client::Client>(loop_, options);
    }

    PostResult post(const std::string& url, bool guarded = true) {
        std::optional<PostResult> result;
        client_->start_post({url, {}, "{}", milliseconds(10000), guarded}, [&](PostResult done) { result = std::move(done); });
        EXPECT_TRUE(test::run_until(loop_, [&] { return result.has_value(); }));
        return result.value_or(PostResult{});
    }

    std::string url_at(const std::string& host, const RawServer& server) const {
        return "http://" + host + ":" + std::to_string(server.port()) + "/hook";
    }

    void expect_forbidden(const std::string& url, const std::string& reason) {
        const PostResult result = post(url);
        EXPECT_EQ(result.fault, AttemptFault::kForbidden) << url << ": " << result.fault_detail;
        EXPECT_EQ(result.fault_detail, reason + "; allow it with ALLOWED_NETWORKS") << url;
        EXPECT_EQ(result.status, 0);
    }

    void answer_all(RawPeer& peer) {
        const std::string at = peer.reached_at();
        while (!peer.read_request().empty()) {
            ++requests_;
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(at.size()) + "\r\n\r\n" + at);
        }
    }

    loop::EventLoop loop_;
    std::atomic<std::size_t> requests_{0};
    const std::function<void(RawPeer&)> answers_ = [this](RawPeer& peer) { answer_all(peer); };
    RawServer server_{answers_, Listen::kEverywhere};
    std::unique_ptr<http_client::Client> client_;
};

TEST_F(AddressGuard, ConnectsToNoLiteralInWhateverNotation) {
    const std::vector<std::pair<std::string, std::string>> hosts = {
        {"127.0.0.1", "127.0.0.1 is a loopback address"},
        {"2130706433", "127.0.0.1 is a loopback address"},
        {"0177.0.0.1", "127.0.0.1 is a loopback address"},
        {"0x7f.0.0.1", "127.0.0.1 is a loopback address"},
        {"0x7f.1", "127.0.0.1 is a loopback address"},
        {"127.1", "127.0.0.1 is a loopback address"},
        {"%31%32%37.0.0.1", "127.0.0.1 is a loopback address"},
        {"127%2e1", "127.0.0.1 is a loopback address"},
        {"[::ffff:127.0.0.1]", "127.0.0.1 is a loopback address"},
        {"[::ffff:7f00:1]", "127.0.0.1 is a loopback address"},
        {"0", "0.0.0.0 is an unspecified address"},
        {"[::]", ":: is an unspecified address"},
        {"[::1]", "::1 is a loopback address"},
        {"[::127.0.0.1]", "::7f00:1 is an IPv4-compatible address"},
        {"[fe80::1%251]", "fe80::1 is a link-local address"},
        {"169.254.169.254", "169.254.169.254 is a link-local address"},
        {"[64:ff9b::127.0.0.1]", "64:ff9b::7f00:1 leads to 127.0.0.1, a loopback address"},
    };
    for (const auto& [host, reason] : hosts) {
        expect_forbidden(url_at(host, server_), reason);
        EXPECT_FALSE(http_client::check_target(url_at(host, server_), test::allowing(kPublic)).ok()) << host;
    }
    // What of these reaches a socket depends on the resolver and the locale.
    for (const char* host :
         {"localhost", "LOCALHOST", "localhost.", "a.localhost", "127.0.0.1.", "127.1.", "\uff11\uff12\uff17.0.0.1"}) {
        EXPECT_NE(post(url_at(host, server_)).fault, AttemptFault::kNone) << host;
        EXPECT_FALSE(http_client::check_target(url_at(host, server_), test::allowing(kPublic)).ok()) << host;
    }
    EXPECT_EQ(server_.connections(), 0u);
    EXPECT_EQ(post(url_at(kPublic, server_)).body, kPublic) << "and the same handle then reaches what is public";
}

// Public when the endpoint was made, loopback when it is used.
TEST_F(AddressGuard, JudgesWhatANameMeansAtTheConnection) {
    set_name("rebinding.test", {kPublic});
    EXPECT_TRUE(http_client::check_target(url_at("rebinding.test", server_), test::allowing(kPublic)).ok());
    EXPECT_EQ(post(url_at("rebinding.test", server_)).body, kPublic);
    set_name("rebinding.test", {"127.0.0.1"});
    RawServer inner(answers_, Listen::kEverywhere);  // on another port, for which curl looks the name up anew
    expect_forbidden(url_at("rebinding.test", inner), "127.0.0.1 is a loopback address");
    EXPECT_EQ(inner.connections(), 0u);
}

TEST_F(AddressGuard, UsesOnlyThePublicAddressesOfAName) {
    const std::vector<std::vector<std::string>> answers = {
        {"127.0.0.1", kPublic}, {kPublic, "127.0.0.1"}, {"::1", kPublic}, {"::1", "127.0.0.1", kPublic, "127.0.0.3"}};
    for (std::size_t i = 0; i < answers.size(); ++i) {
        const std::string name = "mixed" + std::to_string(i) + ".test";
        set_name(name, answers[i]);
        EXPECT_EQ(post(url_at(name, server_)).body, kPublic) << i;
    }
    EXPECT_EQ(server_.connections(), answers.size());
    set_name("inner.test", {"127.0.0.3", "::1"});
    const PostResult inner = post(url_at("inner.test", server_));
    EXPECT_EQ(inner.fault, AttemptFault::kForbidden);
    EXPECT_EQ(server_.connections(), answers.size());
}

// Not kForbidden: the endpoint's owner must look for why its public address refuses.
TEST_F(AddressGuard, NamesTheFaultOfThePublicAddressWhereThereIsOne) {
    RawServer elsewhere(answers_);  // on 127.0.0.1 only
    set_name("half.test", {"127.0.0.1", kPublic});
    const PostResult result = post(url_at("half.test", elsewhere));
    EXPECT_EQ(result.fault, AttemptFault::kConnect) << result.fault_detail;
    EXPECT_EQ(elsewhere.connections(), 0u);
}

TEST_F(AddressGuard, AGuardedRequestUsesNoConnectionOfAnExemptOne) {
    const std::string url = url_at("127.0.0.1", server_);
    for (std::size_t i = 1; i <= 3; ++i) {
        EXPECT_EQ(post(url, false).body, "127.0.0.1");
        expect_forbidden(url, "127.0.0.1 is a loopback address");
        EXPECT_EQ(requests_, i) << "of the exempt requests only";
    }
}

TEST_F(AddressGuard, AGuardedRequestOpensAConnectionBesideTheOneThatIsForbidden) {
    set_name("both.test", {"127.0.0.1", kPublic});
    const std::string url = url_at("both.test", server_);
    constexpr std::size_t kKept = 5;  // more than a request tries
    std::size_t done = 0;
    for (std::size_t i = 0; i < kKept; ++i) {
        client_->start_post({url, {}, "{}", milliseconds(10000), false}, [&](const PostResult&) { ++done; });
    }
    ASSERT_TRUE(test::run_until(loop_, [&] { return done == kKept; }));
    ASSERT_EQ(server_.connections(), kKept);
    EXPECT_EQ(post(url).body, kPublic);
    EXPECT_EQ(server_.connections(), kKept + 1);
}

TEST_F(AddressGuard, FollowsNoRedirectAndNoProxyInside) {
    RawServer inner(answers_, Listen::kEverywhere);
    RawServer redirecting(
        [&](RawPeer& peer) {
            peer.read_request();
            peer.send("HTTP/1.1 307 Here\r\nLocation: " + url_at("127.0.0.1", inner) + "\r\nContent-Length: 0\r\n\r\n");
        },
        Listen::kEverywhere);
    EXPECT_EQ(post(url_at(kPublic, redirecting)).status, 307);
    for (const char* name : {"http_proxy", "ALL_PROXY"}) setenv(name, url_at("127.0.0.1", inner).c_str(), 1);
    EXPECT_EQ(post(url_at(kPublic, server_)).body, kPublic);
    for (const char* name : {"http_proxy", "ALL_PROXY"}) unsetenv(name);
    EXPECT_EQ(inner.connections(), 0u);
}

TEST_F(AddressGuard, NoUrlNamesAUnixSocket) {
    for (const char* url :
         {"http://%2Frun%2Fdocker.sock/", "http://unix:/run/docker.sock", "unix:///run/docker.sock",
          "http+unix://%2Frun%2Fdocker.sock/", "file:///etc/passwd", "gopher://127.0.0.1/", "telnet://127.0.0.1/"}) {
        const PostResult result = post(url);
        EXPECT_TRUE(result.fault == AttemptFault::kInvalidRequest || result.fault == AttemptFault::kDns) << result.fault_detail;
    }
    curl_sockaddr local{};
    local.family = AF_UNIX;
    EXPECT_EQ(http_client::ip_address(local), std::nullopt) << "which a guarded request refuses";
}

}  // namespace
}  // namespace messaging
