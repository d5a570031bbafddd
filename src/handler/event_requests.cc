// Validation of events, by the same rules as the CHECKs of messaging.events.
#include "handler/event_requests.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "core/number.h"
#include "core/rfc3339.h"
#include "handler/cursor.h"

namespace messaging::handler {
namespace {

constexpr std::size_t kMaxJsonDepth = 64;
constexpr std::size_t kMaxJsonValues = 100 * kMaxItems;
constexpr std::array<std::string_view, 3> kMembers{"type", "data", "tenant"};
constexpr std::array<std::string_view, 6> kParameters{"type", "tenant", "since", "until", "limit", "cursor"};
constexpr std::string_view kOwnTypes = "messaging";  // the first name of the service's own

// `body`: the text that `item` is in.
Checked<service::NewEvent> read_item(const core::JsonView& item, std::string_view body, std::size_t max_data_bytes) {
    if (!item.is_object()) return Problem{422, "invalid_item", "an event must be an object with type and data"};
    if (const auto problem = check_members(item, kMembers)) return *problem;
    auto type = read_text(item, "type", kMaxEventTypeBytes);
    if (const auto* problem = std::get_if<Problem>(&type)) return *problem;
    service::NewEvent event{std::get<std::string>(std::move(type)), {}, {}};
    if (!is_event_type(event.type)) {
        return invalid_field("type", "must be names of letters, digits, _ and -, separated by dots, such as invoice.paid");
    }
    if (event.type.substr(0, event.type.find('.')) == kOwnTypes) {
        return invalid_field("type", "must not begin with messaging: these types are the service's own");
    }
    const auto data = item.member("data");
    if (!data) return invalid_field("data", "is missing");
    const auto [begin, length] = data->place();
    if (length > max_data_bytes) {
        return invalid_field("data", "must not be longer than " + std::to_string(max_data_bytes) + " bytes");
    }
    event.data = body.substr(begin, length);
    if (const auto tenant = item.member("tenant"); tenant && !tenant->is_null()) {
        auto text = read_text(item, "tenant", kMaxTenantBytes);
        if (const auto* problem = std::get_if<Problem>(&text)) return *problem;
        event.tenant = std::get<std::string>(std::move(text));
    }
    return event;
}

// The tenant may contain anything, and comes last.
std::string text_of(const service::EventQuery& query) {
    const auto time = [](const auto& moment) { return moment ? core::format_rfc3339_us(*moment) : std::string("-"); };
    return "events\n" + query.type.value_or("-") + "\n" + time(query.since) + "\n" + time(query.until) +
           (query.tenant ? "\nof " + *query.tenant : "");
}

}  // namespace

Checked<NewEvents> read_new_events(const http::Request& request, std::size_t max_data_bytes) {
    return read_batch<service::NewEvent>(
        request, {kMaxBatchBytes, kMaxJsonDepth, kMaxJsonValues}, kEvents,
        [&request, max_data_bytes](const core::JsonView& item) { return read_item(item, request.body, max_data_bytes); });
}

Checked<service::EventQuery> read_event_query(const http::Request& request) {
    if (auto problem = check_parameters(request, kParameters)) return std::move(*problem);
    service::EventQuery query;
    query.limit = kDefaultLimit;
    for (const auto& [name, value] : request.query) {
        std::optional<Problem> problem;
        if (name == "limit") problem = read_limit(value, query.limit);
        if (name == "type") problem = read_event_type(name, value, query.type);
        if (name == "tenant") problem = read_tenant(value, query.tenant);
        if (name == "since") problem = read_time(name, value, query.since);
        if (name == "until") problem = read_time(name, value, query.until);
        if (problem) return std::move(*problem);
    }
    if (auto problem = read_position(request, text_of(query), "type, tenant, since and until", query.after))
        return std::move(*problem);
    return query;
}

Checked<core::EventId> read_event_id(const http::Request& request) {
    const auto id = core::parse_number<core::EventId>(request.path_parameter("id"));
    if (id && *id > 0) return *id;
    return Problem{400, "invalid_id", "the id in the path must be a positive whole number"};
}

std::string write_event_cursor(const service::EventQuery& query, core::EventId last) {
    return write_cursor(text_of(query), {0, last});
}

}  // namespace messaging::handler
