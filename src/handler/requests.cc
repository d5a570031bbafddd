// Validation of what clients send.
#include "handler/requests.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>

#include "core/text.h"
#include "crypto/digest.h"

namespace messaging::handler {
namespace {

constexpr std::array<std::string_view, 4> kListParameters = {"limit", "cursor", "status", "recipient"};
constexpr std::array<std::string_view, 5> kStatuses = {"sent", "pending", "scheduled", "dead", "all"};

template <typename T>
bool read_number(std::string_view text, T& value) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc() && end == text.data() + text.size();
}

std::string joined(std::span<const std::string_view> names) {
    std::string list;
    for (const std::string_view name : names) list.append(list.empty() ? "" : ", ").append(name);
    return list;
}

constexpr std::size_t kMaxJsonValues = 20 * kMaxItems;

bool has_nul(std::string_view text) { return text.find('\0') != std::string_view::npos; }

// Empty when all is well.
std::string wrong_with(const core::JsonView& item, const char* name, std::size_t max_bytes, std::string& code,
                       std::string& value) {
    const auto field = item.member(name);
    code = "invalid_field";
    if (!field) return std::string(name) + " is missing";
    if (!field->is_string()) return std::string(name) + " must be a string";
    value = field->text();
    if (value.empty()) return std::string(name) + " must not be empty";
    if (has_nul(value)) return std::string(name) + " must not contain the character NUL";
    if (value.size() <= max_bytes) return "";
    return std::string(name) + " must not be longer than " + std::to_string(max_bytes) + " bytes";
}

Checked<service::NewMessage> read_item(const core::JsonView& item, std::size_t max_content_bytes) {
    if (!item.is_object()) return Problem{422, "invalid_item", "a message must be an object with recipient and content"};
    const auto keys = item.keys();
    for (auto key = keys.begin(); key != keys.end(); ++key) {
        if (*key != "recipient" && *key != "content") {
            return Problem{422, "unknown_field",
                           "the field " + core::clean_text(*key, 64) + " is not known: use recipient and content"};
        }
        if (std::find(keys.begin(), key, *key) != key) {  // of two at most
            return Problem{422, "invalid_item", "a field stands twice: " + core::clean_text(*key, 64)};
        }
    }
    service::NewMessage message;
    std::string code;
    std::string wrong = wrong_with(item, "recipient", kMaxRecipientBytes, code, message.recipient);
    if (wrong.empty()) wrong = wrong_with(item, "content", max_content_bytes, code, message.content);
    if (!wrong.empty()) return Problem{422, code, wrong};
    if (message.recipient.find_first_not_of(" \t\r\n") == std::string::npos) {
        return Problem{422, "invalid_field", "recipient must not consist of blanks"};
    }
    return message;
}

// "1.<status>.<major>.<id>": plain digits, because there is nothing in it to hide.
bool read_cursor(std::string_view cursor, std::string_view list, service::ListPosition& position) {
    const std::string prefix = "1." + std::string(list) + ".";
    if (!cursor.starts_with(prefix)) return false;
    cursor.remove_prefix(prefix.size());
    const auto dot = cursor.find('.');
    return dot != std::string_view::npos && read_number(cursor.substr(0, dot), position.major) &&
           read_number(cursor.substr(dot + 1), position.id) && position.major >= 0 && position.major <= kLastPosition;
}

std::string list_name(const service::ListQuery& query) {
    return std::string(kStatuses[static_cast<std::size_t>(query.status)]) + (query.recipient ? "-r" : "");
}

std::string lower(std::string_view text) {
    std::string result(text);
    std::transform(result.begin(), result.end(), result.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return result;
}

// RFC 9110, 8.3.1: case does not matter, and blanks may stand around the semicolon. JSON is UTF-8 (RFC 8259, 8.1).
std::optional<Problem> check_media_type(const http::Request& request) {
    std::string type = lower(request.header("content-type").value_or(""));
    type.erase(std::remove_if(type.begin(), type.end(), [](char c) { return c == ' ' || c == '\t' || c == '"'; }), type.end());
    const std::string parameters = type.substr(std::min(type.find(';'), type.size()));
    if (type.substr(0, type.find(';')) != "application/json" || (!parameters.empty() && parameters != ";charset=utf-8")) {
        return Problem{415, "unsupported_media_type", "send the header Content-Type: application/json, and UTF-8"};
    }
    const std::string coding = lower(request.header("content-encoding").value_or("identity"));
    if (coding == "identity") return std::nullopt;
    return Problem{415, "unsupported_media_type", "send the body as it is, without Content-Encoding"};
}

}  // namespace

std::string write_cursor(const service::ListQuery& query, const service::ListPosition& position) {
    return "1." + list_name(query) + "." + std::to_string(position.major) + "." + std::to_string(position.id);
}

std::optional<Problem> check_parameters(const http::Request& request, std::span<const std::string_view> known) {
    for (auto parameter = request.query.begin(); parameter != request.query.end(); ++parameter) {
        const std::string& name = parameter->first;
        if (std::find(known.begin(), known.end(), name) == known.end()) {
            return Problem{400, "unknown_parameter",
                           known.empty() ? "this call takes no parameters" : "the parameters of this call are " + joined(known)};
        }
        const auto is_same = [&](const auto& other) { return other.first == name; };
        if (std::any_of(request.query.begin(), parameter, is_same)) {
            return Problem{400, "repeated_parameter", "the parameter " + name + " stands twice: send it once"};
        }
    }
    return std::nullopt;
}

Checked<NewMessages> read_new_messages(const http::Request& request, std::size_t max_content_bytes) {
    if (const auto problem = check_media_type(request)) return *problem;
    const auto document = core::JsonDocument::parse(request.body, {std::size_t{16} << 20, 8, kMaxJsonValues});
    if (!document) return Problem{400, "invalid_json", document.error().message};
    const core::JsonView root = document->root();
    NewMessages messages;
    messages.is_array = root.is_array();
    if (!messages.is_array) {
        messages.items.push_back(read_item(root, max_content_bytes));
        return messages;
    }
    if (root.size() == 0) return Problem{422, "no_items", "send at least one message"};
    if (root.size() > kMaxItems)
        return Problem{422, "too_many_items", "send at most " + std::to_string(kMaxItems) + " messages at once"};
    for (std::size_t i = 0; i < root.size(); ++i) messages.items.push_back(read_item(root.at(i), max_content_bytes));
    return messages;
}

Checked<service::ListQuery> read_list_query(const http::Request& request) {
    if (const auto problem = check_parameters(request, kListParameters)) return *problem;
    service::ListQuery query;
    query.limit = kDefaultLimit;
    std::optional<std::string> cursor;
    for (const auto& [name, value] : request.query) {
        if (name == "limit") {
            if (!read_number(value, query.limit) || query.limit < 1 || query.limit > kMaxLimit) {
                return Problem{400, "invalid_parameter", "limit must be a whole number from 1 to " + std::to_string(kMaxLimit)};
            }
        } else if (name == "status") {
            std::size_t index = 0;
            while (index < kStatuses.size() && kStatuses[index] != value) ++index;
            if (index == kStatuses.size())
                return Problem{400, "invalid_parameter", "status must be sent, pending, scheduled, dead or all"};
            query.status = static_cast<service::ListStatus>(index);
        } else if (name == "recipient") {
            if (value.empty() || value.size() > kMaxRecipientBytes || has_nul(value) || !core::is_utf8(value)) {
                return Problem{400, "invalid_parameter", "recipient must be 1 to 255 bytes of UTF-8"};
            }
            query.recipient = value;
            // "+90…" in a query is " 90…": no number begins with a blank.
            if (value.size() > 1 && value[0] == ' ' && value[1] >= '0' && value[1] <= '9') query.recipient->front() = '+';
        } else if (name == "cursor") {
            cursor = value;
        }
    }
    // An empty cursor is refused too: a client that follows next_cursor past the last page would begin again.
    if (cursor) {
        query.after.emplace();
        if (!read_cursor(*cursor, list_name(query), *query.after)) {
            return Problem{400, "invalid_cursor", "cursor must be a meta.next_cursor of the same list"};
        }
    }
    return query;
}

Checked<std::optional<service::IdempotencyKey>> read_idempotency_key(const http::Request& request) {
    auto header = request.header("idempotency-key");
    // The draft's form is a quoted string; the quotes are no part of the key.
    if (header && header->size() > 2 && header->starts_with('"') && header->ends_with('"')) {
        header = header->substr(1, header->size() - 2);
    }
    if (!header) return std::optional<service::IdempotencyKey>();
    const bool visible = std::all_of(header->begin(), header->end(), [](char c) { return c >= '!' && c <= '~'; });
    if (!visible || header->empty() || header->size() > kMaxIdempotencyKeyBytes) {
        return Problem{400, "invalid_idempotency_key", "Idempotency-Key must be 1 to 255 visible ASCII characters"};
    }
    return std::optional(
        service::IdempotencyKey{request.method + " " + request.path, std::string(*header), crypto::sha256_hex(request.body)});
}

Checked<core::MessageId> read_id(const http::Request& request) {
    core::MessageId id = 0;
    if (!read_number(request.path_parameter("id"), id) || id < 1) {
        return Problem{400, "invalid_id", "a message's id is a positive whole number"};
    }
    return id;
}

}  // namespace messaging::handler
