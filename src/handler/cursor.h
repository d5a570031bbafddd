// Cursors: the place where a page has ended, as a text that means nothing to clients.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "service/message_store.h"

namespace messaging::handler {

// The largest `major` of a position: the microseconds from 1970 to the end of the year 9999. No batch has a number so large.
inline constexpr std::int64_t kLastPosition = 253'402'300'799'000'000;

// Bound to `list`: a text that no list with other filters has.
std::string write_cursor(const std::string& list, const service::ListPosition& position);
// Nullopt for anything but a cursor of this very list.
std::optional<service::ListPosition> read_cursor(std::string_view cursor, const std::string& list);

// Of GET /messages. Bound to the list and its filters (status, recipient, endpoint, event, since, until); limit and with_content
// may change from page to page.
std::string write_cursor(const service::ListQuery& query, const service::ListPosition& position);
std::optional<service::ListPosition> read_cursor(std::string_view cursor, const service::ListQuery& query);

}  // namespace messaging::handler
