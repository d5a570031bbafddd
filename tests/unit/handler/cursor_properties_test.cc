// A page's cursor brings back the place it was made for, and only to the list that it came from.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "core/base64url.h"
#include "handler/cursor.h"
#include "handler/requests.h"
#include "service/message_store.h"

namespace messaging::handler {
namespace {

std::optional<core::Microseconds> any_time() {
    if (*rc::gen::inRange(0, 2) == 0) return std::nullopt;
    return core::Microseconds(std::chrono::seconds(*rc::gen::inRange(0, 3)));
}

// Of few values, so that two of them are often the same.
service::ListQuery any_query() {
    service::ListQuery query;
    query.status = service::kListStatuses[*rc::gen::inRange<std::size_t>(0, service::kListStatuses.size())];
    query.recipient = *rc::gen::elementOf(std::vector<std::optional<std::string>>{std::nullopt, "", "-", "\nto x", "x"});
    query.endpoint = *rc::gen::elementOf(std::vector<std::optional<std::string>>{std::nullopt, "-", "x", "to x"});
    query.event_id = *rc::gen::elementOf(std::vector<std::optional<core::EventId>>{std::nullopt, 1, 2});
    query.since = any_time();
    query.until = any_time();
    return query;
}

bool same_list(const service::ListQuery& a, const service::ListQuery& b) {
    return a.status == b.status && a.recipient == b.recipient && a.endpoint == b.endpoint && a.event_id == b.event_id &&
           a.since == b.since && a.until == b.until;
}

RC_GTEST_PROP(CursorProperties, IsReadAsItWasWrittenAndByNoOtherList, ()) {
    const service::ListQuery query = any_query();
    const service::ListQuery asked = any_query();
    const service::ListPosition position{*rc::gen::inRange<std::int64_t>(0, kLastPosition),
                                         *rc::gen::positive<core::MessageId>()};
    const auto read = read_cursor(write_cursor(query, position), asked);
    RC_ASSERT(read.has_value() == same_list(query, asked));
    if (!read) return;
    RC_ASSERT(read->major == position.major);
    RC_ASSERT(read->id == position.id);
}

RC_GTEST_PROP(CursorProperties, NeedsNoEscapeInAUrl, ()) {
    const std::string cursor =
        write_cursor(any_query(), {*rc::gen::arbitrary<std::int64_t>(), *rc::gen::arbitrary<core::MessageId>()});
    RC_ASSERT(cursor.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") == std::string::npos);
}

// PostgreSQL cannot make a time of it: that was answered as a wrong recipient.
TEST(Cursor, APlaceBehindAllTimesIsRefused) {
    service::ListQuery query;
    query.status = service::ListStatus::kScheduled;
    EXPECT_TRUE(read_cursor(write_cursor(query, {kLastPosition, 1}), query));
    for (const service::ListPosition& position : {service::ListPosition{9223372036854775807, 1}, {-1, 1}, {0, -1}}) {
        EXPECT_FALSE(read_cursor(write_cursor(query, position), query));
    }
}

TEST(Cursor, ALimitAndTheContentMayChangeFromPageToPage) {
    service::ListQuery query;
    const std::string cursor = write_cursor(query, {0, 7});
    query.limit = 7;
    query.with_content = true;
    EXPECT_TRUE(read_cursor(cursor, query));
}

RC_GTEST_PROP(CursorProperties, AnyTextIsReadOrRefused, (const std::string& text)) {
    for (const std::string& cursor : {text, core::base64url_encoded(text)}) {
        http::Request request;
        request.query = {{"cursor", cursor}};
        const auto read = read_list_query(request);
        if (const auto* problem = std::get_if<Problem>(&read)) RC_ASSERT(problem->status == 400);
    }
}

}  // namespace
}  // namespace messaging::handler
