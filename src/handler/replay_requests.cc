// Validation of replays.
#include "handler/replay_requests.h"

#include <array>
#include <string_view>
#include <utility>

#include "core/number.h"
#include "core/rfc3339.h"
#include "handler/cursor.h"

namespace messaging::handler {
namespace {

using service::ReplayFilter;

constexpr core::JsonLimits kBodyLimits{256u << 10, 4, 500};
constexpr std::array<std::string_view, 7> kMembers{"endpoint", "status", "since", "until", "event_type", "tenant", "dry_run"};
constexpr std::array<std::string_view, 2> kParameters{"limit", "cursor"};
constexpr std::array<std::string_view, 3> kStatuses{"dead", "sent", "both"};
constexpr std::string_view kAllBelow = ".*";
constexpr const char* kList = "replays";

// Null stands for a member that is not there.
std::optional<Problem> read_member(const core::JsonView& root, const char* name, std::size_t max_bytes,
                                   std::optional<std::string>& member) {
    const auto value = root.member(name);
    if (!value || value->is_null()) return std::nullopt;
    auto text = read_text(root, name, max_bytes);
    if (const auto* problem = std::get_if<Problem>(&text)) return *problem;
    member = std::get<std::string>(std::move(text));
    return std::nullopt;
}

std::optional<Problem> read_time(const core::JsonView& root, const char* name, std::optional<core::Microseconds>& moment) {
    constexpr std::size_t kMaxTimeBytes = 64;
    std::optional<std::string> text;
    if (auto problem = read_member(root, name, kMaxTimeBytes, text)) return problem;
    if (!text) return std::nullopt;
    moment = core::parse_rfc3339(*text);
    if (moment) return std::nullopt;
    return invalid_field(name, "must be a time of RFC 3339 with its offset, such as 2026-01-02T03:04:05Z");
}

std::optional<Problem> read_status(const core::JsonView& root, std::optional<std::string>& status) {
    constexpr std::size_t kMaxStatusBytes = 16;
    if (auto problem = read_member(root, "status", kMaxStatusBytes, status)) return problem;
    for (const std::string_view known : kStatuses) {
        if (!status || *status == known) return std::nullopt;
    }
    return invalid_field("status", "must be dead, sent or both");
}

std::optional<Problem> read_type(const core::JsonView& root, std::optional<std::string>& type) {
    if (auto problem = read_member(root, "event_type", kMaxEventTypeBytes + kAllBelow.size(), type)) return problem;
    if (!type) return std::nullopt;
    const std::string_view name =
        type->ends_with(kAllBelow) ? std::string_view(*type).substr(0, type->size() - kAllBelow.size()) : std::string_view(*type);
    if (is_event_type(name)) return std::nullopt;
    return invalid_field("event_type", "must be a type of events, such as invoice.paid, or all below a name, such as invoice.*");
}

std::optional<Problem> read_dry_run(const core::JsonView& root, bool& dry_run) {
    const auto value = root.member("dry_run");
    if (!value || value->is_null()) return std::nullopt;
    if (!value->is_bool()) return invalid_field("dry_run", "must be true or false");
    dry_run = value->boolean();
    return std::nullopt;
}

// Nobody replays everything by a mistake: an empty filter, or the status alone. All dead letters may well be meant.
bool is_too_wide(const ReplayFilter& filter, const std::optional<std::string>& status) {
    return !filter.endpoint && !filter.since && !filter.event_type && !filter.tenant && status != "dead";
}

Checked<NewReplay> read_members(const core::JsonView& root) {
    NewReplay replay;
    ReplayFilter& filter = replay.filter;
    std::optional<std::string> status;
    for (auto& problem :
         {read_status(root, status), read_member(root, "endpoint", kMaxEndpointNameBytes, filter.endpoint),
          read_time(root, "since", filter.since), read_time(root, "until", filter.until), read_type(root, filter.event_type),
          read_member(root, "tenant", kMaxTenantBytes, filter.tenant), read_dry_run(root, replay.dry_run)}) {
        if (problem) return *problem;
    }
    if (is_too_wide(filter, status)) {
        return Problem{422, "filter_too_wide",
                       "this would replay everything: name endpoint, since, event_type or tenant, or the status dead alone"};
    }
    if (filter.since && filter.until && *filter.since >= *filter.until) {
        return invalid_field("until", "must be later than since");
    }
    filter.status = status.value_or(filter.status);
    return replay;
}

}  // namespace

Checked<NewReplay> read_new_replay(const http::Request& request) {
    if (auto problem = check_media_type(request)) return std::move(*problem);
    const auto document = core::JsonDocument::parse(request.body, kBodyLimits);
    if (!document) return Problem{400, "invalid_json", document.error().message};
    if (!document->root().is_object()) return Problem{422, "invalid_item", "a replay must be an object with a filter"};
    if (auto problem = check_members(document->root(), kMembers)) return std::move(*problem);
    return read_members(document->root());
}

Checked<service::ReplayQuery> read_replay_query(const http::Request& request) {
    if (auto problem = check_parameters(request, kParameters)) return std::move(*problem);
    service::ReplayQuery query;
    query.limit = kDefaultLimit;
    if (const auto limit = request.query_parameter("limit")) {
        if (auto problem = read_limit(std::string(*limit), query.limit)) return std::move(*problem);
    }
    const auto cursor = request.query_parameter("cursor");
    if (!cursor) return query;
    const auto position = read_cursor(*cursor, kList);
    if (!position) return Problem{400, "invalid_cursor", "cursor must be a meta.next_cursor of this list", "cursor"};
    query.after = position->id;
    return query;
}

Checked<core::ReplayId> read_replay_id(const http::Request& request) {
    const auto id = core::parse_number<core::ReplayId>(request.path_parameter("id"));
    if (id && *id > 0) return *id;
    return Problem{400, "invalid_id", "the id in the path must be a positive whole number"};
}

std::string write_replay_cursor(core::ReplayId last) { return write_cursor(kList, {0, last}); }

}  // namespace messaging::handler
