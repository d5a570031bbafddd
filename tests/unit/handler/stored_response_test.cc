// The response to new messages as it is stored: gaps for what the database knows, wherever the client's text stands.
#include "handler/stored_response.h"

#include <gtest/gtest.h>

#include "handler/message_routes.h"

namespace messaging::handler {
namespace {

service::NewMessage message() { return {"+1", "x"}; }

TEST(StoredResponse, HasTwoGapsForEachAcceptedMessage) {
    const auto response = response_to({true, {message(), message()}}, "r");
    EXPECT_EQ(response.status, 201);
    ASSERT_EQ(response.parts.size(), 5U);
    EXPECT_EQ(response.body({"7", "then", "8", "later"}),
              R"({"status":201,"message":"created","data":[{"index":0,"status":201,"id":"7","created_at":"then"},)"
              R"({"index":1,"status":201,"id":"8","created_at":"later"}],"meta":{"request_id":"r"}})"
              "\n");
}

TEST(StoredResponse, RefusedItemsStandBetweenTheOthersWithWhatTheClientWrote) {
    const std::string hostile = "\"\",\"id\":\"\" \x01\x1f\\ 👋";
    const auto response = response_to({true, {Problem{422, "odd", hostile}, message(), Problem{422, "odd", hostile}}}, "r");
    EXPECT_EQ(response.status, 207);
    ASSERT_EQ(response.parts.size(), 3U);
    const auto document = core::JsonDocument::parse(response.body({"7", "then"}));
    ASSERT_TRUE(document.ok()) << document.error().message;
    const auto data = document->root().member("data");
    ASSERT_EQ(data->size(), 3U);
    EXPECT_EQ(data->at(0).member("message")->text(), hostile);
    EXPECT_EQ(data->at(1).member("id")->text(), "7");
    EXPECT_EQ(data->at(1).member("created_at")->text(), "then");
    EXPECT_EQ(data->at(2).member("message")->text(), hostile);
}

TEST(StoredResponse, WithoutAnAcceptedMessageThereIsNoGap) {
    const Problem problem{422, "odd", "why"};
    EXPECT_EQ(response_to({true, {problem, problem}}, "r").parts.size(), 1U);
    const auto single = response_to({false, {problem}}, "r");
    EXPECT_EQ(single.status, 422);
    EXPECT_EQ(single.body({}), to_response(problem, "r").body);
}

TEST(StoredResponse, TheScopeOfAKeyIsMethodAndPath) {
    http::Request request;
    request.method = "POST";
    request.path = "/messages";
    request.headers = {{"Idempotency-Key", "\"k\""}};
    const auto read = read_idempotency_key(request);
    const auto& key = std::get<std::optional<service::IdempotencyKey>>(read);
    ASSERT_TRUE(key);
    EXPECT_EQ(key->scope, "POST /messages");
    EXPECT_EQ(key->key, "k");
}

}  // namespace
}  // namespace messaging::handler
