// Validation of what clients send for endpoints.
#include "handler/endpoint_requests.h"

#include <algorithm>
#include <array>
#include <utility>

#include "core/json.h"
#include "core/number.h"
#include "core/text.h"
#include "handler/cursor.h"

namespace messaging::handler {
namespace {

using service::Change;
using service::EndpointChanges;

constexpr std::size_t kMaxTextBytes = 8192;   // of any text of an endpoint; the database has narrower limits
constexpr std::size_t kMaxReasonBytes = 500;  // of why an endpoint is disabled, or a message cancelled
constexpr core::JsonLimits kBodyLimits{256u << 10, 4, 500};
constexpr core::JsonLimits kTestLimits{256u << 10, 32, 20'000};
constexpr std::size_t kMaxTypeBytes = 255;  // of a test

// What is wrong with a member's value; nothing when it is in the changes.
using ReadMember = std::optional<Problem> (*)(const std::string& name, const core::JsonView& value, EndpointChanges& changes);

std::optional<Problem> read_text(const std::string& name, const core::JsonView& value, Change<std::string>& change) {
    if (value.is_null()) {
        change.emplace(std::nullopt);
        return std::nullopt;
    }
    if (!value.is_string()) return invalid_field(name, "must be a string");
    if (value.text().find('\0') != std::string_view::npos) return invalid_field(name, "must not contain the character NUL");
    if (value.text().size() > kMaxTextBytes) return invalid_field(name, "is too long");
    change.emplace(std::string(value.text()));
    return std::nullopt;
}

std::optional<Problem> read_integer(const std::string& name, const core::JsonView& value, Change<int>& change) {
    if (value.is_null()) {
        change.emplace(std::nullopt);
        return std::nullopt;
    }
    const auto number = value.is_number() ? core::parse_whole_number(value.text()) : std::nullopt;
    if (!number) return invalid_field(name, "must be a whole number");
    change.emplace(number);
    return std::nullopt;
}

template <Change<std::string> EndpointChanges::*Member>
std::optional<Problem> read_text_member(const std::string& name, const core::JsonView& value, EndpointChanges& changes) {
    return read_text(name, value, changes.*Member);
}

template <Change<int> EndpointChanges::*Member>
std::optional<Problem> read_integer_member(const std::string& name, const core::JsonView& value, EndpointChanges& changes) {
    return read_integer(name, value, changes.*Member);
}

std::optional<Problem> read_event_types(const std::string& name, const core::JsonView& value, EndpointChanges& changes) {
    if (value.is_null()) {
        changes.event_types.emplace(std::nullopt);
        return std::nullopt;
    }
    if (!value.is_array()) return invalid_field(name, "must be an array of types");
    std::vector<std::string> types;
    for (const core::JsonView& type : value.elements()) {
        if (!type.is_string() || !is_text(type.text(), kMaxTextBytes)) return invalid_field(name, "must be an array of types");
        types.emplace_back(type.text());
    }
    changes.event_types.emplace(std::move(types));
    return std::nullopt;
}

// Kept as the text of a JSON object, with each name as often as it was sent: the database refuses a second one.
std::optional<Problem> read_headers(const std::string& name, const core::JsonView& value, EndpointChanges& changes) {
    if (value.is_null()) {
        changes.headers.emplace(std::nullopt);
        return std::nullopt;
    }
    if (!value.is_object()) return invalid_field(name, "must be a JSON object of names and values");
    core::JsonWriter json;
    json.begin_object();
    for (const std::string_view header : value.keys()) {
        const auto text = value.member(header);
        if (!text || !text->is_string()) return invalid_field(name, "must have strings as values");
        json.key(header).string(text->text());
    }
    json.end_object();
    changes.headers.emplace(std::string(json.text()));
    return std::nullopt;
}

struct Member {
    std::string_view name;
    ReadMember read;
};
constexpr std::array kMembers = {Member{"name", read_text_member<&EndpointChanges::name>},
                                 Member{"url", read_text_member<&EndpointChanges::url>},
                                 Member{"description", read_text_member<&EndpointChanges::description>},
                                 Member{"tenant", read_text_member<&EndpointChanges::tenant>},
                                 Member{"headers", read_headers},
                                 Member{"event_types", read_event_types},
                                 Member{"signing", read_text_member<&EndpointChanges::signing>},
                                 Member{"max_in_flight", read_integer_member<&EndpointChanges::max_in_flight>},
                                 Member{"timeout_seconds", read_integer_member<&EndpointChanges::timeout_seconds>},
                                 Member{"max_attempts", read_integer_member<&EndpointChanges::max_attempts>},
                                 Member{"rate_limit", read_integer_member<&EndpointChanges::rate_limit>}};

constexpr std::array<std::string_view, 6> kListParameters{"state", "tenant", "name", "event_type", "limit", "cursor"};

// The body, which is an object that may have each of these members once.
Checked<core::JsonDocument> read_object(const http::Request& request, std::span<const std::string_view> known,
                                        const char* expected, const core::JsonLimits& limits = kBodyLimits) {
    if (auto problem = check_media_type(request)) return std::move(*problem);
    auto document = core::JsonDocument::parse(request.body, limits);
    if (!document) return Problem{400, "invalid_json", document.error().message};
    if (!document->root().is_object()) return Problem{422, "invalid_item", expected};
    if (auto problem = check_members(document->root(), known)) return std::move(*problem);
    return std::move(document.value());
}

// Reads each member of the object that a body may be; no body has none.
template <typename Read>
std::optional<Problem> read_optional_body(const http::Request& request, std::span<const std::string_view> known, Read read,
                                          const core::JsonLimits& limits = kBodyLimits) {
    if (request.body.empty()) return std::nullopt;
    const auto checked = read_object(request, known, "send an object, or no body", limits);
    if (const auto* problem = std::get_if<Problem>(&checked)) return *problem;
    const core::JsonView root = std::get<core::JsonDocument>(checked).root();
    for (const std::string_view name : root.keys()) {
        const auto value = root.member(name);
        if (!value) continue;
        if (auto problem = read(std::string(name), *value)) return problem;
    }
    return std::nullopt;
}

// The tenant may contain anything, and comes last; a name has no line break.
std::string text_of(const service::EndpointQuery& query) {
    return std::string("endpoints\n") + (query.state ? std::string(core::word_of(*query.state)) : "-") + "\n" +
           query.name.value_or("-") + "\n" + query.event_type.value_or("-") + (query.tenant ? "\nof " + *query.tenant : "");
}

}  // namespace

Checked<EndpointChanges> read_endpoint_changes(const http::Request& request) {
    std::array<std::string_view, kMembers.size()> names;
    std::transform(kMembers.begin(), kMembers.end(), names.begin(), [](const Member& known) { return known.name; });
    const auto checked = read_object(request, names, "an endpoint must be an object");
    if (const auto* problem = std::get_if<Problem>(&checked)) return *problem;
    const core::JsonView root = std::get<core::JsonDocument>(checked).root();
    EndpointChanges changes;
    for (const Member& known : kMembers) {
        const auto value = root.member(known.name);
        if (!value) continue;
        if (const auto problem = known.read(std::string(known.name), *value, changes)) return *problem;
    }
    for (const auto& [name, change] : {std::pair{"name", &changes.name}, std::pair{"url", &changes.url}}) {
        if (*change && !**change) return invalid_field(name, "must be a string");
    }
    return changes;
}

Checked<EndpointChanges> read_new_endpoint(const http::Request& request) {
    auto checked = read_endpoint_changes(request);
    const auto* changes = std::get_if<EndpointChanges>(&checked);
    if (changes == nullptr) return checked;
    if (!changes->name) return invalid_field("name", "is missing");
    if (!changes->url) return invalid_field("url", "is missing");
    return checked;
}

Checked<service::EndpointQuery> read_endpoint_query(const http::Request& request) {
    if (auto problem = check_parameters(request, kListParameters)) return std::move(*problem);
    service::EndpointQuery query;
    query.limit = kDefaultLimit;
    for (const auto& [name, value] : request.query) {
        std::optional<Problem> problem;
        if (name == "state") {
            const auto state = read_word(name, value, core::kEndpointStates);
            if (const auto* wrong = std::get_if<Problem>(&state)) return *wrong;
            query.state = std::get<core::EndpointState>(state);
        } else if (name == "name") {
            if (!is_text(value, kMaxEndpointNameBytes)) return invalid_parameter(name, "must be the name of an endpoint");
            query.name = value;
        } else if (name == "limit") {
            problem = read_limit(value, query.limit);
        } else if (name == "event_type") {
            problem = read_event_type(name, value, query.event_type);
        } else if (name == "tenant") {
            problem = read_tenant(value, query.tenant);
        }
        if (problem) return std::move(*problem);
    }
    if (auto problem = read_position(request, text_of(query), "state, tenant, name and event_type", query.after)) {
        return std::move(*problem);
    }
    return query;
}

std::string write_endpoint_cursor(const service::EndpointQuery& query, core::EndpointId last) {
    return write_cursor(text_of(query), {0, last});
}

Checked<service::EndpointRef> read_endpoint_ref(const http::Request& request) {
    const std::string text(request.path_parameter("id"));
    if (const auto id = core::parse_number<core::EndpointId>(text); id && *id > 0) return service::EndpointRef{*id, {}};
    if (is_text(text, kMaxEndpointNameBytes)) return service::EndpointRef{std::nullopt, text};
    return Problem{400, "invalid_id", "the id in the path must be a positive whole number, or the name of an endpoint"};
}

Checked<std::optional<std::string>> read_reason(const http::Request& request) {
    Change<std::string> reason;
    constexpr std::array<std::string_view, 1> kKnown{"reason"};
    if (const auto problem = read_optional_body(request, kKnown, [&](const std::string& name, const core::JsonView& value) {
            return read_text(name, value, reason);
        })) {
        return *problem;
    }
    const std::optional<std::string> text = reason.value_or(std::nullopt);
    if (text && text->size() > kMaxReasonBytes) {
        return invalid_field("reason", "must not be longer than " + std::to_string(kMaxReasonBytes) + " bytes");
    }
    return text;
}

Checked<Rotation> read_rotation(const http::Request& request) {
    Change<std::string> secret;
    Change<int> overlap;
    constexpr std::array<std::string_view, 2> kKnown{"overlap_seconds", "secret"};
    if (const auto problem = read_optional_body(request, kKnown, [&](const std::string& name, const core::JsonView& value) {
            return name == "secret" ? read_text(name, value, secret) : read_integer(name, value, overlap);
        })) {
        return *problem;
    }
    Rotation rotation;
    rotation.secret = secret.value_or(std::nullopt);
    if (const auto seconds = overlap.value_or(std::nullopt)) rotation.overlap = std::chrono::seconds(*seconds);
    return rotation;
}

Checked<service::EndpointTest> read_test(const http::Request& request) {
    service::EndpointTest test;
    constexpr std::array<std::string_view, 2> kKnown{"type", "data"};
    const auto read = [&](const std::string& name, const core::JsonView& value) -> std::optional<Problem> {
        if (name == "type") {
            if (!value.is_string() || !is_text(value.text(), kMaxTypeBytes)) {
                return invalid_field(name, "must be a string of 1 to " + std::to_string(kMaxTypeBytes) + " bytes without NUL");
            }
            test.type = value.text();
        } else {
            const auto [begin, length] = value.place();
            test.data = request.body.substr(begin, length);
        }
        return std::nullopt;
    };
    if (const auto problem = read_optional_body(request, kKnown, read, kTestLimits)) return *problem;
    return test;
}

}  // namespace messaging::handler
