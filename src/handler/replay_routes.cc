// Starting replays, or counting what they would send again; listing, reading and cancelling them.
#include "handler/replay_routes.h"

#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "core/sqlstate.h"
#include "handler/encode.h"
#include "handler/replay_requests.h"
#include "handler/stored_response.h"

namespace messaging::handler {
namespace {

using service::ReplayView;

constexpr const char* kStarted = "started: the messages are sent again in the background, a few at a time";

Problem to_replay_problem(const core::Error& error) {
    if (error.kind == core::ErrorKind::kNotFound) return {404, "replay_not_found", error.message};
    if (error.kind == core::ErrorKind::kConflict) return {409, "not_cancellable", error.message};
    if (error.sqlstate == core::kProgramLimitExceeded) return {409, "too_many_replays", error.message};
    if (error.kind == core::ErrorKind::kInvalid && error.sqlstate == core::kCheckViolation) {
        return {422, "invalid_field", error.message, error.message.substr(0, error.message.find(' '))};
    }
    return to_problem(error);
}

core::Completion<ReplayView> answer(const Reply& reply, int status, const char* message) {
    return [reply, status, message](const core::Result<ReplayView>& replay) {
        if (!replay) return reply.send(replay.error(), to_replay_problem);
        reply.send(Answer{status, message, [&](core::JsonWriter& json) { write_replay(json, replay.value()); }, {}});
    };
}

// As it will be: the gaps take what only the database knows.
service::ResponseTemplate response_to(const service::ReplayFilter& filter, const std::string& by, const std::string& request_id) {
    ReplayView view;
    view.status = filter.status;
    view.endpoint = filter.endpoint;
    view.event_type = filter.event_type;
    view.tenant = filter.tenant;
    view.since = core::format_rfc3339_us(filter.since);
    view.until = core::format_rfc3339_us(filter.until);
    view.created_by = by;
    BodyGaps gaps;
    return gaps.split(
        to_response(Answer{202, kStarted, [&](core::JsonWriter& json) { write_replay(json, view, &gaps); }, {}}, request_id));
}

}  // namespace

void ReplayRoutes::list(const http::Request& request, const Reply& reply) {
    const auto checked = read_replay_query(request);
    if (const auto* problem = std::get_if<Problem>(&checked)) return reply.send(*problem);
    const auto& query = std::get<service::ReplayQuery>(checked);
    store_.list(query, [query, reply](const core::Result<service::ReplayPage>& page) {
        if (!page) return reply.send(page.error());
        const auto next = page->next ? std::optional(write_replay_cursor(*page->next)) : std::nullopt;
        reply.send(to_page(page->replays, query.limit, next, [](auto& json, const auto& replay) { write_replay(json, replay); }));
    });
}

void ReplayRoutes::create(const http::Request& request, const Reply& reply) {
    const auto checked = read_new_replay(request);
    if (const auto* problem = std::get_if<Problem>(&checked)) return reply.send(*problem);
    const auto key = read_idempotency_key(request);
    if (const auto* problem = std::get_if<Problem>(&key)) return reply.send(*problem);
    const auto& replay = std::get<NewReplay>(checked);
    if (replay.dry_run) return count(replay.filter, reply);
    const std::string by = "api " + request.peer;
    const auto& idempotency = std::get<std::optional<service::IdempotencyKey>>(key);
    if (!idempotency) return store_.create(replay.filter, by, answer(reply, 202, kStarted));
    store_.create_once(replay.filter, by, *idempotency, response_to(replay.filter, by, request.id), [reply](const auto& stored) {
        const bool is_about_the_key = stored.ok() || stored.error().kind == core::ErrorKind::kConflict;
        if (is_about_the_key) return send_stored(reply, stored);
        reply.send(stored.error(), to_replay_problem);
    });
}

void ReplayRoutes::count(const service::ReplayFilter& filter, const Reply& reply) {
    store_.count(filter, [reply](const core::Result<service::Count>& matching) {
        if (!matching) return reply.send(matching.error(), to_replay_problem);
        reply.send(Answer{200,
                          matching->exact ? "counted, and nothing was started" : "counted up to a limit, and nothing was started",
                          [&](core::JsonWriter& json) { write_dry_run(json, matching.value()); },
                          {}});
    });
}

void ReplayRoutes::get(const http::Request& request, const Reply& reply) {
    const auto id = read_replay_id(request);
    if (const auto* problem = std::get_if<Problem>(&id)) return reply.send(*problem);
    store_.get(std::get<core::ReplayId>(id), answer(reply, 200, "ok"));
}

void ReplayRoutes::cancel(const http::Request& request, const Reply& reply) {
    const auto id = read_replay_id(request);
    if (const auto* problem = std::get_if<Problem>(&id)) return reply.send(*problem);
    store_.cancel(std::get<core::ReplayId>(id),
                  answer(reply, 200, "cancelled: what is on its way is sent, and nothing more is sent again"));
}

}  // namespace messaging::handler
