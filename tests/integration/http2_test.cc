// The HTTP client over TLS: HTTP/2 where the receiver offers it, HTTP/1.1 where it does not.
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "http_client/client.h"
#include "support/loop_runner.h"
#include "support/loopback.h"
#include "support/tls_receiver.h"

namespace messaging {
namespace {

using core::AttemptFault;
using http_client::PostResult;
using std::chrono::milliseconds;
using test::TlsReceiver;

class Sending {
public:
    explicit Sending(const std::string& ca_file, bool http2 = true) {
        http_client::ClientOptions options;
        options.addresses = test::allowing(test::kLoopbackNetworks);
        options.ca_file = ca_file;
        options.http2 = http2;
        client_.emplace(loop_, options);
    }

    // All at once; the results in the order of the URLs.
    std::vector<PostResult> post(const std::vector<std::string>& urls, milliseconds timeout = test::kPatience) {
        std::vector<PostResult> results(urls.size());
        std::size_t done = 0;
        for (std::size_t i = 0; i < urls.size(); ++i) {
            client_->start_post({urls[i], {{"webhook-id", "msg_" + std::to_string(i)}, {"X-Empty", ""}}, "{}", timeout},
                                [&results, &done, i](PostResult result) {
                                    results[i] = std::move(result);
                                    ++done;
                                });
        }
        EXPECT_TRUE(test::run_until(
            loop_, [&] { return done == urls.size(); }, 2 * test::kPatience));
        return results;
    }
    void pause(milliseconds time) {
        bool over = false;
        const auto timer = loop_.make_timer([&] { over = true; });
        timer->start(time);
        EXPECT_TRUE(test::run_until(loop_, [&] { return over; }));
    }
    PostResult post(const std::string& url) { return post(std::vector{url}).front(); }

private:
    loop::EventLoop loop_;
    std::optional<http_client::Client> client_;
};

std::vector<std::string> bodies(const std::vector<PostResult>& results) {
    std::vector<std::string> all;
    for (const PostResult& result : results) {
        EXPECT_EQ(result.fault, AttemptFault::kNone) << result.fault_detail;
        EXPECT_EQ(result.status, 202);
        all.push_back(result.body);
    }
    return all;
}

TEST(Http2, CarriesManyRequestsOnTheConnectionThatIsThere) {
    TlsReceiver receiver("h2");
    Sending sending(receiver.certificate());
    const std::string first = R"({"messageId":"2.0 1"})";
    EXPECT_EQ(bodies({sending.post(receiver.url())}), std::vector{first});
    EXPECT_EQ(bodies(sending.post(std::vector(60, receiver.url()))), std::vector(60, first));
}

TEST(Http2, IsNotSpokenWithAReceiverThatDoesNotOfferIt) {
    TlsReceiver receiver("http/1.1");
    Sending sending(receiver.certificate());
    EXPECT_EQ(bodies({sending.post(receiver.url())}), std::vector<std::string>{R"({"messageId":"1.1 1"})"});
    for (const std::string& body : bodies(sending.post(std::vector(10, receiver.url())))) {
        EXPECT_EQ(body.find(R"({"messageId":"1.1 )"), 0U) << body;
    }
}

TEST(Http2, WhatComesBetweenTwoRequestsIsLawfulAndCostsNoConnection) {
    TlsReceiver receiver("h2");
    Sending sending(receiver.certificate());
    for (int i = 0; i < 5; ++i) {
        EXPECT_EQ(bodies({sending.post(receiver.url("/ping"))}), std::vector<std::string>{R"({"messageId":"2.0 1"})"});
        sending.pause(milliseconds(60));
    }
}

TEST(Http2, OverTlsAnUnaskedAnswerIsTakenForNone) {
    TlsReceiver receiver("http/1.1");
    Sending sending(receiver.certificate());
    for (const char* delay_ms : {"0", "1", "20"}) {
        for (int i = 1; i <= 7; ++i) {
            const PostResult result = sending.post(receiver.url(std::string("/stray/") + delay_ms));
            EXPECT_EQ(result.status, 500) << result.fault_detail;
            sending.pause(milliseconds(150));
        }
    }
}

TEST(Http2, IsNotSpokenUnlessAskedFor) {
    TlsReceiver receiver("h2");
    Sending sending(receiver.certificate(), false);
    EXPECT_EQ(bodies({sending.post(receiver.url())}), std::vector<std::string>{R"({"messageId":"1.1 1"})"});
}

TEST(Http2, AnAnswerThatNeverComesCostsOnlyItsOwnRequest) {
    TlsReceiver receiver("h2");
    Sending sending(receiver.certificate());
    const std::string first = R"({"messageId":"2.0 1"})";
    EXPECT_EQ(bodies({sending.post(receiver.url())}), std::vector{first});
    const auto timed_out = sending.post({receiver.url("/hang"), receiver.url("/hang")}, milliseconds(300));
    EXPECT_EQ(timed_out[0].fault, AttemptFault::kTimeout);
    EXPECT_EQ(timed_out[1].fault, AttemptFault::kTimeout);
    EXPECT_EQ(bodies({sending.post(receiver.url())}), std::vector{first}) << "on the same connection";
}

TEST(Http2, AConnectionThatEndsFailsWhatItCarriedAndIsMadeAnew) {
    TlsReceiver receiver("h2");
    Sending sending(receiver.certificate());
    bodies({sending.post(receiver.url())});
    // curl itself tries one of them again, which then hangs.
    const auto cut = sending.post({receiver.url("/cut"), receiver.url("/hang"), receiver.url("/hang")}, milliseconds(1000));
    for (const PostResult& result : cut) {
        EXPECT_TRUE(result.fault == AttemptFault::kProtocol || result.fault == AttemptFault::kTimeout) << result.fault_detail;
    }
    bodies({sending.post(receiver.url())});
}

// libcurl 7.88 may give up what it could have sent on another connection ("tried 5 times"): an attempt, which is repeated.
TEST(Http2, AGoodbyeOfTheReceiverCostsAnAttemptAtMost) {
    TlsReceiver receiver("h2");
    Sending sending(receiver.certificate());
    bodies({sending.post(receiver.url())});
    for (int i = 0; i < 20; ++i) {
        for (const PostResult& result : sending.post({receiver.url(), receiver.url("/away"), receiver.url()})) {
            EXPECT_TRUE(result.status == 202 || result.fault == AttemptFault::kProtocol) << result.fault_detail;
        }
    }
    EXPECT_TRUE(test::wait_until([&] { return sending.post(receiver.url()).status == 202; }));
}

// A connection that carries many requests at once is open when the guarded one joins.
TEST(Http2, AGuardedRequestJoinsNoConnectionOfAnExemptOne) {
    TlsReceiver receiver("h2");
    http_client::ClientOptions options;
    options.ca_file = receiver.certificate();
    options.http2 = true;
    loop::EventLoop loop;
    http_client::Client client(loop, options);
    const auto post = [&](bool guarded) {
        std::optional<PostResult> result;
        client.start_post({receiver.url(), {}, "{}", test::kPatience, guarded},
                          [&](PostResult done) { result = std::move(done); });
        EXPECT_TRUE(test::run_until(loop, [&] { return result.has_value(); }));
        return result.value_or(PostResult{});
    };
    for (int i = 0; i < 3; ++i) {
        EXPECT_EQ(post(false).status, 202);
        EXPECT_EQ(post(true).fault, AttemptFault::kForbidden);
    }
    EXPECT_EQ(receiver.stat("received"), 3);
}

TEST(Http2, ACertificateThatNobodySignedIsRefused) {
    TlsReceiver receiver("h2");
    Sending sending("");
    EXPECT_EQ(sending.post(receiver.url()).fault, AttemptFault::kTls);
}

}  // namespace
}  // namespace messaging
