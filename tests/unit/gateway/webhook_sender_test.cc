// The headers of a request: ours, signatures, and an endpoint's own.
#include "gateway/webhook_sender.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>

#include "core/webhook_id.h"

namespace messaging::gateway {
namespace {

using core::WallTime;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr const char* kBody = R"({"to":"a","content":"b"})";
const WallTime kNow{milliseconds(1'614'265'330'900)};

// Signs with what it was asked to sign.
class Echo : public core::Signer {
public:
    explicit Echo(std::string name) : name_(std::move(name)) {}
    std::string sign(std::string_view id, std::string_view timestamp, std::string_view body) const override {
        return name_ + "(" + std::string(id) + " " + std::string(timestamp) + " " + std::string(body) + ")";
    }

private:
    std::string name_;
};

core::Endpoint endpoint(http::Headers headers = {}) {
    core::Endpoint made;
    made.id = 7;
    made.url = "http://receiver/";
    made.headers = std::move(headers);
    return made;
}

WebhookOptions options() {
    WebhookOptions made;
    made.database_tag = "abcdef";
    return made;
}

http::Headers headers_to(const core::Endpoint& to, WallTime now = kNow, const WebhookOptions& with = options()) {
    return webhook_headers(core::format_webhook_id(with.database_tag, 3, 0), to, with, now, kBody);
}

std::vector<std::string> values_of(const http::Headers& headers, const std::string& name) {
    std::vector<std::string> values;
    for (const auto& [each, value] : headers) {
        if (each == name) values.push_back(value);
    }
    return values;
}

using Values = std::vector<std::string>;

TEST(WebhookHeaders, HaveTheIdAndTheSecondOfTheAttempt) {
    const http::Headers headers = headers_to(endpoint());
    EXPECT_EQ(values_of(headers, "webhook-timestamp"), Values{"1614265330"});
    ASSERT_EQ(values_of(headers, "webhook-id").size(), 1U);
    EXPECT_EQ(values_of(headers, "webhook-id")[0].find('.'), std::string::npos) << "a full stop ends it in what is signed";
    EXPECT_EQ(values_of(headers, "webhook-signature"), Values{}) << "no secret, no signature";
}

TEST(WebhookHeaders, EachValidSecretSignsWhatIsSent) {
    core::Endpoint to = endpoint();
    to.signers = {{std::make_shared<Echo>("new"), {}}, {std::make_shared<Echo>("old"), kNow + seconds(1)}};
    const http::Headers headers = headers_to(to);
    const std::string signed_text = values_of(headers, "webhook-id")[0] + " 1614265330 " + kBody;
    EXPECT_EQ(values_of(headers, "webhook-signature"), Values{"new(" + signed_text + ") old(" + signed_text + ")"});
}

TEST(WebhookHeaders, ASecretThatHasExpiredSinceItWasReadSignsNoMore) {
    core::Endpoint to = endpoint();
    to.signers = {{std::make_shared<Echo>("new"), {}}, {std::make_shared<Echo>("old"), kNow}};
    const auto signatures = [&](WallTime now) { return values_of(headers_to(to, now), "webhook-signature").at(0); };
    EXPECT_NE(signatures(kNow - milliseconds(1)).find("old("), std::string::npos);
    EXPECT_EQ(signatures(kNow).find("old("), std::string::npos);
    to.signers.erase(to.signers.begin());
    EXPECT_EQ(values_of(headers_to(to), "webhook-signature"), Values{}) << "an empty header would be no list of signatures";
}

TEST(WebhookHeaders, AnEndpointsOwnCannotReplaceOurs) {
    core::Endpoint to = endpoint({{"Webhook-Id", "msg_1"},
                                  {"webhook-timestamp", "0"},
                                  {"WEBHOOK-SIGNATURE", "v1,x"},
                                  {"webhook-anything", "x"},
                                  {"content-type", "text/plain"},
                                  {"User-Agent", "x"},
                                  {"HOST", "elsewhere"},
                                  {"Connection", "close"},
                                  {"webhookx", "kept"},
                                  {"x-team", "shop"}});
    to.signers = {{std::make_shared<Echo>("new"), {}}};
    http::Headers headers = headers_to(to);
    ASSERT_EQ(headers.size(), 6U);
    EXPECT_EQ(headers[0], (std::pair<std::string, std::string>("webhookx", "kept")));
    EXPECT_EQ(headers[1], (std::pair<std::string, std::string>("x-team", "shop")));
    EXPECT_EQ(values_of(headers, "Content-Type"), Values{"application/json"});
    EXPECT_EQ(values_of(headers, "webhook-timestamp"), Values{"1614265330"});
}

TEST(WebhookHeaders, TheAuthKeyIsSentToItsReceiverOnlyAndOnce) {
    WebhookOptions with = options();
    with.auth_key = "ours";
    with.webhook_url = "http://receiver/";
    core::Endpoint to = endpoint({{"X-Ins-Auth-Key", "theirs"}});
    EXPECT_EQ(values_of(headers_to(to, kNow, with), "X-Ins-Auth-Key"), Values{"theirs"}) << "another endpoint brings its own";
    EXPECT_EQ(values_of(headers_to(to, kNow, with), "x-ins-auth-key"), Values{});
    to.id = core::kDefaultEndpointId;
    EXPECT_EQ(values_of(headers_to(to, kNow, with), "X-Ins-Auth-Key"), Values{});
    EXPECT_EQ(values_of(headers_to(to, kNow, with), "x-ins-auth-key"), Values{"ours"});
    to.url = "http://elsewhere/";
    EXPECT_EQ(values_of(headers_to(to, kNow, with), "x-ins-auth-key"), Values{});
}

}  // namespace
}  // namespace messaging::gateway
