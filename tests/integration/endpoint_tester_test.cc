// Tests of endpoints: what the receiver gets, and what is said of the receiver's answer.
#include "gateway/endpoint_tester.h"

#include <gtest/gtest.h>

#include <map>
#include <optional>

#include "core/json.h"
#include "core/text.h"
#include "crypto/signing_secret.h"
#include "support/fake_time.h"
#include "support/fixed_random.h"
#include "support/loop_runner.h"
#include "support/loopback.h"
#include "support/raw_tcp.h"
#include "support/scripted_receiver.h"

namespace messaging::gateway {
namespace {

using core::ErrorKind;
using service::EndpointTest;
using std::chrono::milliseconds;
using Result = core::Result<service::EndpointTestResult>;
using test::RawPeer;
using test::RawServer;
using test::ScriptedAnswer;
using test::ScriptedReceiver;

constexpr const char* kSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

// Has endpoints by their ids, and answers in a later turn of the loop.
class Endpoints : public service::EndpointSource {
public:
    explicit Endpoints(loop::EventLoop& loop) : loop_(loop) {}
    void load_endpoint(const service::EndpointRef& wanted, core::Completion<core::Endpoint> done) override {
        loop_.post([this, id = wanted.id.value_or(0), done = std::move(done)] {
            const auto found = by_id.find(id);
            if (found == by_id.end()) return done(core::Error{ErrorKind::kNotFound, "there is no such endpoint"});
            done(found->second);
        });
    }

    std::map<core::EndpointId, core::Endpoint> by_id;

private:
    loop::EventLoop& loop_;
};

class EndpointTesterTest : public testing::Test {
protected:
    static http_client::ClientOptions client_options() {
        http_client::ClientOptions options;
        options.addresses = test::allowing(test::kLoopbackNetworks);
        return for_tests(options);
    }
    static WebhookOptions webhook_options() {
        WebhookOptions options;
        options.webhook_url = "http://127.0.0.1:1/own";
        options.auth_key = "the key";
        return options;
    }
    core::Endpoint& add(core::EndpointId id, const std::string& url) {
        core::Endpoint& endpoint = endpoints_.by_id[id];
        endpoint.id = id;
        endpoint.url = url;
        return endpoint;
    }
    Result test(core::EndpointId id, EndpointTest what = {}) {
        std::optional<Result> result;
        tester_.start_test({id, {}}, std::move(what), [&](Result done) { result = std::move(done); });
        EXPECT_FALSE(result) << "completed inside start_test";
        EXPECT_TRUE(test::run_until(loop_, [&] { return result.has_value(); }));
        return result.value_or(core::Error{ErrorKind::kInternal, "no result", ""});
    }
    // What is said of an answer with these bytes, after which the connection is closed.
    service::EndpointTestResult test_raw(const std::string& answer) {
        RawServer server([&](RawPeer& peer) {
            peer.read_request();
            peer.send(answer);
        });
        add(++last_, server.url());
        return test(last_).value();
    }
    static std::string value_of(const http::Headers& headers, const std::string& name) {
        for (const auto& [each, value] : headers) {
            if (each == name) return value;
        }
        return "missing";
    }

    core::EndpointId last_ = 100;
    loop::EventLoop loop_;
    test::FakeTime clock_;
    test::FixedRandom random_;
    Endpoints endpoints_{loop_};
    http_client::Client client_{loop_, client_options()};
    HttpEndpointTester tester_{endpoints_, client_, clock_, random_, webhook_options()};
};

TEST_F(EndpointTesterTest, TheRequestIsSignedAndSaysWhatItIs) {
    ScriptedReceiver receiver(ScriptedReceiver::always({200, "thanks"}));
    core::Endpoint& endpoint = add(7, receiver.url("/hook"));
    endpoint.state = core::EndpointState::kDisabled;
    endpoint.headers = {{"x-team", "shop"}, {"authorization", "Bearer credential"}, {"webhook-id", "forged"}};
    endpoint.signers.push_back({crypto::make_signer(core::SigningKind::kV1, kSecret).value(), {}});
    const std::string data = "{\"z\" : 1.50, \"a\":[1 ,2],\t\"n\": 12345678901234567890, \"u\":\"\\u00e9\"}";
    const auto result = test(7, {"invoice.paid", data});
    ASSERT_TRUE(result.ok()) << result.error().message;
    EXPECT_FALSE(result->error);
    EXPECT_EQ(result->http_status, 200);
    EXPECT_EQ(result->response_excerpt, "thanks");
    EXPECT_EQ(result->body, R"({"type":"invoice.paid","timestamp":"2027-01-15T09:00:00.000Z","data":)" + data + "}");

    const auto requests = receiver.requests();
    ASSERT_EQ(requests.size(), 1U);
    const http::Request& sent = requests[0].request;
    EXPECT_EQ(sent.body, result->body) << "what is shown is what was sent";
    const std::string id(sent.header("webhook-id").value_or(""));
    EXPECT_EQ(id, "test_00000000000003e8");
    const std::string timestamp(sent.header("webhook-timestamp").value_or(""));
    EXPECT_EQ(timestamp, "1800003600");
    EXPECT_EQ(sent.header("webhook-signature"), endpoint.signers[0].signer->sign(id, timestamp, sent.body));
    EXPECT_EQ(sent.header("authorization"), "Bearer credential");
    EXPECT_EQ(sent.header("content-type"), "application/json");
    EXPECT_FALSE(sent.header("x-ins-auth-key")) << "for WEBHOOK_URL only";

    EXPECT_EQ(value_of(result->headers, "authorization"), "***");
    EXPECT_EQ(value_of(result->headers, "x-team"), "***");
    EXPECT_EQ(value_of(result->headers, "webhook-id"), id);
    EXPECT_EQ(value_of(result->headers, "webhook-signature"), sent.header("webhook-signature"));
    EXPECT_EQ(value_of(result->headers, "Content-Type"), "application/json");
}

TEST_F(EndpointTesterTest, TheKeyOfTheOwnReceiverIsSentAndHidden) {
    ScriptedReceiver receiver;
    WebhookOptions options = webhook_options();
    options.webhook_url = receiver.url();
    HttpEndpointTester tester(endpoints_, client_, clock_, random_, options);
    add(core::kDefaultEndpointId, receiver.url());
    std::optional<Result> result;
    tester.start_test({core::kDefaultEndpointId, {}}, {}, [&](Result done) { result = std::move(done); });
    ASSERT_TRUE(test::run_until(loop_, [&] { return result.has_value(); }));
    EXPECT_EQ(receiver.requests().at(0).request.header("x-ins-auth-key"), "the key");
    EXPECT_EQ(value_of(result->value().headers, "x-ins-auth-key"), "***");
    EXPECT_EQ(result->value().body, R"({"type":"messaging.test","timestamp":"2027-01-15T09:00:00.000Z","data":{}})");
}

TEST_F(EndpointTesterTest, AReceiverThatRefusesOrIsNotThereIsAResult) {
    ScriptedReceiver receiver(ScriptedReceiver::always({503, "busy"}));
    add(2, receiver.url());
    const auto refused = test(2);
    ASSERT_TRUE(refused.ok());
    EXPECT_EQ(refused->http_status, 503);
    EXPECT_EQ(refused->error, "the receiver answered HTTP 503");
    EXPECT_EQ(refused->response_excerpt, "busy");

    add(3, "http://127.0.0.1:1/");
    const auto nobody = test(3);
    ASSERT_TRUE(nobody.ok());
    EXPECT_FALSE(nobody->http_status);
    EXPECT_NE(nobody->error.value_or(""), "");
    EXPECT_EQ(nobody->response_excerpt, "");
    EXPECT_NE(nobody->body, "") << "what would have been sent";

    ScriptedReceiver hanging(ScriptedReceiver::always({.hang = true}));
    add(4, hanging.url()).timeout = milliseconds(100);
    const auto late = test(4);
    ASSERT_TRUE(late.ok());
    EXPECT_FALSE(late->http_status);
    EXPECT_GE(late->duration, milliseconds(100));
    add(5, "ftp://127.0.0.1/");
    EXPECT_FALSE(test(5)->http_status) << "a URL that cannot be sent to";
}

TEST_F(EndpointTesterTest, AnAddressThatIsNotAllowedIsAnErrorAndNothingIsSent) {
    add(2, "http://10.0.0.5/");
    const auto result = test(2);
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.error().kind, ErrorKind::kInvalid);
    EXPECT_NE(result.error().message.find("10.0.0.5"), std::string::npos) << result.error().message;
    EXPECT_EQ(test(99).error().kind, ErrorKind::kNotFound);
}

TEST_F(EndpointTesterTest, AnAnswerThatNeverEndsIsCut) {
    RawServer server([](RawPeer& peer) {
        peer.read_request();
        peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        while (peer.send("400\r\n" + std::string(0x400, 'x') + "\r\n")) {
        }
    });
    add(2, server.url());
    const auto result = test(2);
    ASSERT_TRUE(result.ok());
    EXPECT_EQ(result->http_status, 200);
    EXPECT_EQ(result->response_excerpt, std::string(kExcerptBytes, 'x'));
}

TEST_F(EndpointTesterTest, TheExcerptIsPrintable) {
    const auto answer = [](const std::string& body) {
        return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
    };
    EXPECT_EQ(test_raw(answer(std::string("a\0b\x1b[31m\x7f\tc\r\nd", 14))).response_excerpt, "a b [31m \tc \nd");
    EXPECT_EQ(test_raw(answer("\xff\xc3\xa9")).response_excerpt, "\xEF\xBF\xBD\xC3\xA9");
    const std::string cut = test_raw(answer(std::string(1023, 'x') + "\xC3\xA9" + std::string(2000, 'y'))).response_excerpt;
    EXPECT_EQ(cut, std::string(1023, 'x')) << "a character that does not fit is left out";
    EXPECT_TRUE(core::is_utf8(cut));
}

TEST_F(EndpointTesterTest, AnEndpointIsTestedOnceASecondAndFewAtATime) {
    ScriptedReceiver hanging(ScriptedReceiver::always({.hang = true}));
    std::size_t done = 0;
    for (core::EndpointId id = 1; id <= static_cast<core::EndpointId>(kMaxTests); ++id) {
        add(id, hanging.url());
        tester_.start_test({id, {}}, {}, [&](const Result& result) { done += result.ok() ? 1U : 0U; });
    }
    ASSERT_TRUE(test::run_until(loop_, [&] { return hanging.count() == kMaxTests; }));
    EXPECT_EQ(test(1).error().kind, ErrorKind::kConflict);
    add(50, hanging.url());
    EXPECT_EQ(test(50).error().kind, ErrorKind::kConflict);
    hanging.release();
    EXPECT_TRUE(test::run_until(loop_, [&] { return done == kMaxTests; }));
    hanging.set_script(ScriptedReceiver::accept_all());
    EXPECT_EQ(test(1).error().kind, ErrorKind::kConflict) << "a second has not passed";
    clock_.advance(service::kTestInterval);
    EXPECT_TRUE(test(1).ok());
}

}  // namespace
}  // namespace messaging::gateway
