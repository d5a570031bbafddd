// Requests: bodies and queries checked and turned into what the service takes; every refusal says what to do.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/json.h"
#include "handler/batch.h"
#include "handler/envelope.h"
#include "http/message.h"
#include "service/idempotency.h"
#include "service/message_store.h"

namespace messaging::handler {

inline constexpr std::size_t kMaxRecipientBytes = 255;
inline constexpr std::size_t kMaxEndpointNameBytes = 100;
inline constexpr std::size_t kMaxEventTypeBytes = 128;
inline constexpr std::size_t kMaxTenantBytes = 255;
inline constexpr std::size_t kMaxIdempotencyKeyBytes = 255;
inline constexpr int kDefaultLimit = 50;  // of a page
inline constexpr int kMaxLimit = 250;
// Limits the number of messages on a page of whole contents: these bytes, divided by the longest allowed content.
inline constexpr std::size_t kMaxPageBytes = 16u << 20;
// Limits the JSON of a page's messages. The longest page of plain text fits into it. A page with many control characters, which
// take six bytes each in JSON, may not fit. It is less than the server sends at a time (ServerOptions::max_unwritten_bytes).
inline constexpr std::size_t kMaxEncodedPageBytes = kMaxPageBytes + (1u << 20);

using NewMessages = Batch<service::NewMessage>;
inline constexpr BatchNames kMessages{"message", "messages"};

// What is wrong with a query that may have each of these parameters once; nothing when it is right.
std::optional<Problem> check_parameters(const http::Request& request, std::span<const std::string_view> known);

// A body is JSON, in UTF-8 and without a content coding.
std::optional<Problem> check_media_type(const http::Request& request);
// The text of a member, which must be there; or what is wrong with it.
Checked<std::string> read_text(const core::JsonView& item, const char* name, std::size_t max_bytes);
// UTF-8 without NUL, not empty, and no longer than that.
bool is_text(std::string_view value, std::size_t max_bytes);
// Names of letters, digits, _ and -, separated by dots: invoice.paid
bool is_event_type(std::string_view text);
Problem invalid_parameter(const std::string& name, const std::string& rule);
// Of the parameter `endpoint`.
Problem unknown_endpoint();
Problem invalid_field(const std::string& name, const std::string& rule);
// The one of `words` that the parameter names, by their word_of().
template <typename Words>
Checked<typename Words::value_type> read_word(const std::string& name, const std::string& value, const Words& words) {
    std::string list;
    for (const auto word : words) {
        if (word_of(word) == value) return word;
        list.append(list.empty() ? "" : ", ").append(word_of(word));
    }
    return invalid_parameter(name, "must be one of " + list);
}
// What is wrong with the value of a parameter that several lists have; nothing when it is read.
std::optional<Problem> read_limit(const std::string& value, int& limit);
std::optional<Problem> read_tenant(const std::string& value, std::optional<std::string>& tenant);
std::optional<Problem> read_event_type(const std::string& name, const std::string& value, std::optional<std::string>& type);
std::optional<Problem> read_time(const std::string& name, std::string value, std::optional<core::Microseconds>& moment);
// Where the page before has ended, by the cursor of the request. The cursor is bound to the text `list`; `filters` names the
// filters in it for the error message. An empty cursor is refused, too: otherwise a client that follows next_cursor past the
// last page would begin again.
std::optional<Problem> read_position(const http::Request& request, const std::string& list, const std::string& filters,
                                     std::optional<std::int64_t>& after);
// What is wrong with the members of an object that may have each of these once; nothing when it is right.
std::optional<Problem> check_members(const core::JsonView& object, std::span<const std::string_view> known);

Checked<NewMessages> read_new_messages(const http::Request& request, std::size_t max_content_bytes);
Checked<service::ListQuery> read_list_query(const http::Request& request);
// The {id} of the path: the id, or the webhook-id that a receiver has seen.
Checked<service::MessageRef> read_message_ref(const http::Request& request);

// Absent is fine. 1 to 255 visible ASCII characters; the scope is method and path.
Checked<std::optional<service::IdempotencyKey>> read_idempotency_key(const http::Request& request);

}  // namespace messaging::handler
