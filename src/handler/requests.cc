// Validation of what clients send.
#include "handler/requests.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include "core/number.h"
#include "core/rfc3339.h"
#include "core/text.h"
#include "core/webhook_id.h"
#include "crypto/digest.h"
#include "handler/cursor.h"

namespace messaging::handler {
namespace {

bool is_name_character(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

std::string joined(std::span<const std::string_view> names) {
    std::string list;
    for (const std::string_view name : names) list.append(list.empty() ? "" : ", ").append(name);
    return list;
}

constexpr std::size_t kMaxJsonValues = 20 * kMaxItems;

bool has_nul(std::string_view text) { return text.find('\0') != std::string_view::npos; }

constexpr std::array<std::string_view, 3> kMessageMembers{"recipient", "content", "endpoint"};

Checked<service::NewMessage> read_item(const core::JsonView& item, std::size_t max_content_bytes) {
    if (!item.is_object()) return Problem{422, "invalid_item", "a message must be an object with recipient and content"};
    if (const auto problem = check_members(item, kMessageMembers)) return *problem;
    auto recipient = read_text(item, "recipient", kMaxRecipientBytes);
    if (const auto* problem = std::get_if<Problem>(&recipient)) return *problem;
    auto content = read_text(item, "content", max_content_bytes);
    if (const auto* problem = std::get_if<Problem>(&content)) return *problem;
    service::NewMessage message{std::get<std::string>(std::move(recipient)), std::get<std::string>(std::move(content)), {}, {}};
    if (message.recipient.find_first_not_of(" \t\r\n") == std::string::npos) {
        return invalid_field("recipient", "must not consist of blanks");
    }
    if (item.member("endpoint")) {
        auto endpoint = read_text(item, "endpoint", kMaxEndpointNameBytes);
        if (const auto* problem = std::get_if<Problem>(&endpoint)) return *problem;
        message.endpoint = std::get<std::string>(std::move(endpoint));
    }
    return message;
}

// What is wrong with the value of one parameter; nothing when it is in the query.
using ReadParameter = std::optional<Problem> (*)(const std::string& value, service::ListQuery& query);

std::optional<Problem> read_page_limit(const std::string& value, service::ListQuery& query) {
    return read_limit(value, query.limit);
}

std::optional<Problem> read_status(const std::string& value, service::ListQuery& query) {
    const auto status = read_word("status", value, service::kListStatuses);
    if (const auto* problem = std::get_if<Problem>(&status)) return *problem;
    query.status = std::get<service::ListStatus>(status);
    return std::nullopt;
}

std::optional<Problem> read_recipient(const std::string& value, service::ListQuery& query) {
    if (!is_text(value, kMaxRecipientBytes)) {
        return invalid_parameter("recipient",
                                 "must be 1 to " + std::to_string(kMaxRecipientBytes) + " bytes of UTF-8 without NUL");
    }
    query.recipient = value;
    // "+90…" in a query is " 90…": no number begins with a blank.
    if (value.size() > 1 && value[0] == ' ' && value[1] >= '0' && value[1] <= '9') query.recipient->front() = '+';
    return std::nullopt;
}

std::optional<Problem> read_endpoint(const std::string& value, service::ListQuery& query) {
    if (value.empty() || value.size() > kMaxEndpointNameBytes || value.find('\n') != std::string::npos || has_nul(value) ||
        !core::is_utf8(value)) {
        return unknown_endpoint();
    }
    query.endpoint = value;
    return std::nullopt;
}

std::optional<Problem> read_event(const std::string& value, service::ListQuery& query) {
    query.event_id = core::parse_number<core::EventId>(value);
    if (query.event_id && *query.event_id > 0) return std::nullopt;
    return invalid_parameter("event", "must be the id of an event, a positive whole number");
}

std::optional<Problem> read_since(const std::string& value, service::ListQuery& query) {
    return read_time("since", value, query.since);
}

std::optional<Problem> read_until(const std::string& value, service::ListQuery& query) {
    return read_time("until", value, query.until);
}

std::optional<Problem> read_with_content(const std::string& value, service::ListQuery& query) {
    query.with_content = value == "true";
    if (query.with_content || value == "false") return std::nullopt;
    return invalid_parameter("with_content", "must be true or false");
}

// For the cursor, which is read last, because it depends on all other parameters.
std::optional<Problem> pass_over(const std::string&, service::ListQuery&) { return std::nullopt; }

struct Parameter {
    std::string_view name;
    ReadParameter read;
};
constexpr std::array kListParameters = {Parameter{"status", read_status},     Parameter{"recipient", read_recipient},
                                        Parameter{"endpoint", read_endpoint}, Parameter{"event", read_event},
                                        Parameter{"since", read_since},       Parameter{"until", read_until},
                                        Parameter{"limit", read_page_limit},  Parameter{"with_content", read_with_content},
                                        Parameter{"cursor", pass_over}};

std::string lower(std::string_view text) {
    std::string result(text);
    std::transform(result.begin(), result.end(), result.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return result;
}

}  // namespace

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

Checked<std::string> read_text(const core::JsonView& item, const char* name, std::size_t max_bytes) {
    const auto problem = [name](const std::string& wrong) { return invalid_field(name, wrong); };
    const auto field = item.member(name);
    if (!field) return problem("is missing");
    if (!field->is_string()) return problem("must be a string");
    std::string value(field->text());
    if (value.empty()) return problem("must not be empty");
    if (has_nul(value)) return problem("must not contain the character NUL");
    if (value.size() > max_bytes) return problem("must not be longer than " + std::to_string(max_bytes) + " bytes");
    return value;
}

bool is_event_type(std::string_view text) {
    if (text.empty() || text.size() > kMaxEventTypeBytes || text.front() == '.' || text.back() == '.') return false;
    if (text.find("..") != std::string_view::npos) return false;
    return std::all_of(text.begin(), text.end(), [](char c) { return is_name_character(c) || c == '.'; });
}

bool is_text(std::string_view value, std::size_t max_bytes) {
    return !value.empty() && value.size() <= max_bytes && !has_nul(value) && core::is_utf8(value);
}

Problem invalid_parameter(const std::string& name, const std::string& rule) {
    return {400, "invalid_parameter", name + " " + rule, name};
}

Problem unknown_endpoint() {
    return invalid_parameter("endpoint", "must be the name or the id of an endpoint: there is no such endpoint");
}

Problem invalid_field(const std::string& name, const std::string& rule) {
    return {422, "invalid_field", name + " " + rule, name};
}

std::optional<Problem> read_limit(const std::string& value, int& limit) {
    const auto number = core::parse_number<int>(value);
    if (!number || *number < 1 || *number > kMaxLimit) {
        return invalid_parameter("limit", "must be a whole number from 1 to " + std::to_string(kMaxLimit));
    }
    limit = *number;
    return std::nullopt;
}

std::optional<Problem> read_tenant(const std::string& value, std::optional<std::string>& tenant) {
    if (!is_text(value, kMaxTenantBytes)) return invalid_parameter("tenant", "must be 1 to 255 bytes of UTF-8 without NUL");
    tenant = value;
    return std::nullopt;
}

std::optional<Problem> read_event_type(const std::string& name, const std::string& value, std::optional<std::string>& type) {
    if (!is_event_type(value)) return invalid_parameter(name, "must be a type of events, such as invoice.paid");
    type = value;
    return std::nullopt;
}

// "…+03:00" in a query is "… 03:00": "+" means a blank there.
std::optional<Problem> read_time(const std::string& name, std::string value, std::optional<core::Microseconds>& moment) {
    if (const auto blank = value.rfind(' '); blank != std::string::npos) value[blank] = '+';
    moment = core::parse_rfc3339(value);
    if (moment) return std::nullopt;
    return invalid_parameter(name, "must be a time of RFC 3339 with its offset, such as 2026-01-02T03:04:05Z");
}

std::optional<Problem> read_position(const http::Request& request, const std::string& list, const std::string& filters,
                                     std::optional<std::int64_t>& after) {
    const auto cursor = request.query_parameter("cursor");
    if (!cursor) return std::nullopt;
    const auto position = read_cursor(*cursor, list);
    if (!position) {
        return Problem{400, "invalid_cursor", "cursor must be a meta.next_cursor of the same list: with the same " + filters,
                       "cursor"};
    }
    after = position->id;
    return std::nullopt;
}

std::optional<Problem> check_members(const core::JsonView& object, std::span<const std::string_view> known) {
    const auto keys = object.keys();
    for (auto key = keys.begin(); key != keys.end(); ++key) {
        const std::string name = core::clean_text(*key, 64);
        if (std::find(known.begin(), known.end(), *key) == known.end()) {
            return Problem{422, "unknown_field", "the field " + name + " is not known: use " + joined(known), name};
        }
        if (std::find(keys.begin(), key, *key) != key) {  // of as many as are known, at most
            return Problem{422, "invalid_item", "a field stands twice: " + name, name};
        }
    }
    return std::nullopt;
}

std::optional<Problem> check_parameters(const http::Request& request, std::span<const std::string_view> known) {
    for (auto parameter = request.query.begin(); parameter != request.query.end(); ++parameter) {
        const std::string& name = parameter->first;
        const std::string shown = core::clean_text(name, 64);
        if (std::find(known.begin(), known.end(), name) == known.end()) {
            return Problem{400, "unknown_parameter",
                           "there is no parameter " + shown + ": this call takes " + (known.empty() ? "none" : joined(known)),
                           shown};
        }
        const auto is_same = [&](const auto& other) { return other.first == name; };
        if (std::any_of(request.query.begin(), parameter, is_same)) {
            return Problem{400, "repeated_parameter", "the parameter " + shown + " stands twice: send it once", shown};
        }
    }
    return std::nullopt;
}

Checked<NewMessages> read_new_messages(const http::Request& request, std::size_t max_content_bytes) {
    return read_batch<service::NewMessage>(
        request, {kMaxBatchBytes, 8, kMaxJsonValues}, kMessages,
        [max_content_bytes](const core::JsonView& item) { return read_item(item, max_content_bytes); });
}

Checked<service::ListQuery> read_list_query(const http::Request& request) {
    std::array<std::string_view, kListParameters.size()> names;
    std::transform(kListParameters.begin(), kListParameters.end(), names.begin(),
                   [](const Parameter& known) { return known.name; });
    if (const auto problem = check_parameters(request, names)) return *problem;
    service::ListQuery query;
    query.limit = kDefaultLimit;
    for (const auto& [name, value] : request.query) {
        const auto is_it = [&name = name](const Parameter& known) { return known.name == name; };
        const auto* parameter = std::find_if(kListParameters.begin(), kListParameters.end(), is_it);
        if (const auto problem = parameter->read(value, query)) return *problem;
    }
    if (query.event_id && query.recipient) {
        return invalid_parameter("event", "must not stand with recipient: the messages of an event have none");
    }
    if (const auto cursor = request.query_parameter("cursor")) {
        query.after = read_cursor(*cursor, query);
        if (!query.after) {
            return Problem{
                400, "invalid_cursor",
                "cursor must be a meta.next_cursor of the same list: with the same status, recipient, endpoint, event, since and "
                "until",
                "cursor"};
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

Checked<service::MessageRef> read_message_ref(const http::Request& request) {
    const std::string_view text = request.path_parameter("id");
    if (const auto id = core::parse_number<core::MessageId>(text); id && *id > 0) return service::MessageRef{*id};
    if (const auto id = core::id_in_webhook_id(text); id && core::is_utf8(text) && !has_nul(text)) {
        return service::MessageRef{*id, std::string(text)};
    }
    return Problem{400, "invalid_id", "the id in the path must be a positive whole number, or a webhook-id: 42, or msg_…_42_…"};
}

}  // namespace messaging::handler
