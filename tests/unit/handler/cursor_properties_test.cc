// A page's cursor brings back the place it was made for, and only to the list that it came from.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "handler/requests.h"
#include "service/message_store.h"

namespace messaging::handler {
namespace {

constexpr const char* kStatuses[] = {"sent", "pending", "scheduled", "dead", "all"};

RC_GTEST_PROP(CursorProperties, IsReadAsItWasWritten, ()) {
    service::ListQuery query;
    query.status = static_cast<service::ListStatus>(*rc::gen::inRange(0, 5));
    const service::ListPosition position{*rc::gen::inRange<std::int64_t>(0, kLastPosition),
                                         *rc::gen::positive<core::MessageId>()};
    const std::string cursor = write_cursor(query, position);
    const int asked = *rc::gen::inRange(0, 5);
    http::Request request;
    request.query = {{"status", kStatuses[asked]}, {"cursor", cursor}};
    const auto read = read_list_query(request);
    if (asked != static_cast<int>(query.status)) {
        RC_ASSERT(std::holds_alternative<Problem>(read));
        return;
    }
    const auto* same = std::get_if<service::ListQuery>(&read);
    RC_ASSERT(same != nullptr);
    RC_ASSERT(same->after.has_value());
    RC_ASSERT(same->after->major == position.major);
    RC_ASSERT(same->after->id == position.id);
}

// PostgreSQL cannot make a time of it: that was answered as a wrong recipient.
TEST(Cursor, APlaceBehindAllTimesIsRefused) {
    http::Request request;
    request.query = {{"status", "dead"}, {"cursor", "1.dead.9223372036854775807.1"}};
    const auto read = read_list_query(request);
    const auto* problem = std::get_if<Problem>(&read);
    ASSERT_NE(problem, nullptr);
    EXPECT_EQ(problem->code, "invalid_cursor");
}

RC_GTEST_PROP(CursorProperties, AnyTextIsReadOrRefused, (const std::string& text)) {
    http::Request request;
    request.query = {{"cursor", text}};
    const auto read = read_list_query(request);
    if (const auto* problem = std::get_if<Problem>(&read)) RC_ASSERT(problem->status == 400);
}

}  // namespace
}  // namespace messaging::handler
