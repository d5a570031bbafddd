// What a replay may be, and what is said of one that may not.
#include "handler/replay_requests.h"

#include <gtest/gtest.h>

namespace messaging::handler {
namespace {

Checked<NewReplay> read(const std::string& body) {
    http::Request request;
    request.method = "POST";
    request.headers.emplace_back("Content-Type", "application/json");
    request.body = body;
    return read_new_replay(request);
}

NewReplay accepted_replay(const std::string& body) {
    const auto checked = read(body);
    if (const auto* problem = std::get_if<Problem>(&checked)) ADD_FAILURE() << body << ": " << problem->message;
    const auto* replay = std::get_if<NewReplay>(&checked);
    return replay == nullptr ? NewReplay() : *replay;
}

// The code and the field.
std::string refusal_of(const std::string& body) {
    const auto checked = read(body);
    const auto* problem = std::get_if<Problem>(&checked);
    return problem == nullptr ? "accepted" : problem->code + (problem->field.empty() ? "" : " " + problem->field);
}

TEST(ReplayRequests, EachMemberIsRead) {
    const NewReplay replay = accepted_replay(
        R"({"endpoint": "shop", "status": "both", "since": "2026-01-02T03:04:05+03:00", "until": "2026-01-03T00:00:00.5Z",)"
        R"( "event_type": "invoice.*", "tenant": "acme", "dry_run": true})");
    EXPECT_EQ(replay.filter.endpoint, "shop");
    EXPECT_EQ(replay.filter.status, "both");
    EXPECT_EQ(core::format_rfc3339_us(replay.filter.since.value()), "2026-01-02T00:04:05.000000Z");
    EXPECT_EQ(core::format_rfc3339_us(replay.filter.until.value()), "2026-01-03T00:00:00.500000Z");
    EXPECT_EQ(replay.filter.event_type, "invoice.*");
    EXPECT_EQ(replay.filter.tenant, "acme");
    EXPECT_TRUE(replay.dry_run);
}

TEST(ReplayRequests, TheStatusIsDeadUnlessItIsNamedAndNullIsNothing) {
    const NewReplay replay = accepted_replay(R"({"endpoint": "7", "status": null, "until": null, "dry_run": null})");
    EXPECT_EQ(replay.filter.status, "dead");
    EXPECT_FALSE(replay.filter.until);
    EXPECT_FALSE(replay.dry_run);
}

TEST(ReplayRequests, NobodyReplaysEverythingByMistake) {
    for (const char* wide : {"{}", R"({"status": "sent"})", R"({"status": "both"})", R"({"until": "2026-01-02T00:00:00Z"})",
                             R"({"status": null})", R"({"dry_run": true})", R"({"endpoint": null, "status": "sent"})"}) {
        EXPECT_EQ(refusal_of(wide), "filter_too_wide") << wide;
    }
    for (const char* narrow : {R"({"status": "dead"})", R"({"endpoint": "shop"})", R"({"since": "2026-01-02T00:00:00Z"})",
                               R"({"event_type": "a"})", R"({"tenant": "a", "status": "sent"})"}) {
        EXPECT_EQ(refusal_of(narrow), "accepted") << narrow;
    }
}

TEST(ReplayRequests, WhatIsWrongIsSaidWithItsField) {
    const auto with = [](const std::string& member) { return "{\"endpoint\": \"shop\", " + member + "}"; };
    EXPECT_EQ(refusal_of("{"), "invalid_json");
    EXPECT_EQ(refusal_of("[]"), "invalid_item");
    EXPECT_EQ(refusal_of(with(R"("recipient": "+1")")), "unknown_field recipient");
    EXPECT_EQ(refusal_of(with(R"("status": "pending")")), "invalid_field status");
    EXPECT_EQ(refusal_of(with(R"("status": ["dead"])")), "invalid_field status");
    EXPECT_EQ(refusal_of(R"({"endpoint": 7})"), "invalid_field endpoint");
    EXPECT_EQ(refusal_of(R"({"endpoint": ""})"), "invalid_field endpoint");
    EXPECT_EQ(refusal_of(R"({"endpoint": ")" + std::string(101, 'a') + "\"}"), "invalid_field endpoint");
    for (const char* time : {"\"yesterday\"", "\"2026-01-02T00:00:00\"", "1", "\"\""}) {
        EXPECT_EQ(refusal_of(with(std::string("\"since\": ") + time)), "invalid_field since") << time;
        EXPECT_EQ(refusal_of(with(std::string("\"until\": ") + time)), "invalid_field until") << time;
    }
    EXPECT_EQ(refusal_of(R"({"since": "2026-01-02T00:00:00Z", "until": "2026-01-02T00:00:00Z"})"), "invalid_field until");
    for (const char* type : {"*", ".*", "a..b", "a*", "a.*.b", "a b", ""}) {
        EXPECT_EQ(refusal_of(with(std::string("\"event_type\": \"") + type + "\"")), "invalid_field event_type") << type;
    }
    EXPECT_EQ(refusal_of(with("\"event_type\": \"" + std::string(129, 'a') + "\"")), "invalid_field event_type");
    EXPECT_EQ(refusal_of(with("\"event_type\": \"" + std::string(128, 'a') + ".*\"")), "accepted");
    EXPECT_EQ(refusal_of(with(R"("tenant": "\u0000")")), "invalid_field tenant");
    EXPECT_EQ(refusal_of(with(R"("dry_run": "yes")")), "invalid_field dry_run");
}

}  // namespace
}  // namespace messaging::handler
