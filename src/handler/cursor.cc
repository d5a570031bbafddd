// A cursor is base64url of "1.<hash of the list and its filters>.<major>.<id>".
#include "handler/cursor.h"

#include "core/base64url.h"
#include "core/number.h"
#include "core/rfc3339.h"
#include "crypto/digest.h"

namespace messaging::handler {
namespace {

constexpr std::size_t kHashSize = 16;

// A recipient may contain anything, and comes last; an endpoint's name has no line break.
std::string text_of(const service::ListQuery& query) {
    const auto time = [](const auto& moment) { return moment ? core::format_rfc3339_us(*moment) : std::string("-"); };
    std::string list(service::word_of(query.status));
    if (query.endpoint) list += "\nat " + *query.endpoint;
    if (query.event_id) list += "\nof " + std::to_string(*query.event_id);
    return list + "\n" + time(query.since) + "\n" + time(query.until) + (query.recipient ? "\nto " + *query.recipient : "");
}

std::string prefix_of(const std::string& list) { return "1." + crypto::sha256_hex(list).substr(0, kHashSize) + "."; }

}  // namespace

std::string write_cursor(const std::string& list, const service::ListPosition& position) {
    return core::base64url_encoded(prefix_of(list) + std::to_string(position.major) + "." + std::to_string(position.id));
}

std::optional<service::ListPosition> read_cursor(std::string_view cursor, const std::string& list) {
    const auto text = core::base64url_decoded(cursor);
    const std::string prefix = prefix_of(list);
    if (!text || !text->starts_with(prefix)) return std::nullopt;
    const std::string_view position = std::string_view(*text).substr(prefix.size());
    const std::size_t dot = position.find('.');
    if (dot == std::string_view::npos) return std::nullopt;
    const auto major = core::parse_number<std::int64_t>(position.substr(0, dot));
    const auto id = core::parse_number<core::MessageId>(position.substr(dot + 1));
    if (!major || !id || *major < 0 || *major > kLastPosition || *id < 0) return std::nullopt;
    return service::ListPosition{*major, *id};
}

std::string write_cursor(const service::ListQuery& query, const service::ListPosition& position) {
    return write_cursor(text_of(query), position);
}

std::optional<service::ListPosition> read_cursor(std::string_view cursor, const service::ListQuery& query) {
    return read_cursor(cursor, text_of(query));
}

}  // namespace messaging::handler
