// Publishing, listing and reading events.
#include "handler/event_routes.h"

#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "handler/encode.h"
#include "handler/event_requests.h"
#include "handler/stored_response.h"

namespace messaging::handler {
namespace {

void write_created(core::JsonWriter& json, BodyGaps& gaps) {
    json.key("id");
    gaps.string(json);
    json.key("created_at");
    gaps.string(json);
    json.key("message_count");
    gaps.number(json);
}

Problem to_event_problem(const core::Error& error) {
    if (error.kind == core::ErrorKind::kNotFound) return {404, "event_not_found", error.message};
    return to_problem(error);
}

}  // namespace

void EventRoutes::list(const http::Request& request, const Reply& reply) {
    const auto checked = read_event_query(request);
    if (const auto* problem = std::get_if<Problem>(&checked)) return reply.send(*problem);
    const auto& query = std::get<service::EventQuery>(checked);
    store_.list(query, [query, reply](const core::Result<service::EventPage>& page) {
        if (!page) return reply.send(page.error());
        const auto next = page->next ? std::optional(write_event_cursor(query, *page->next)) : std::nullopt;
        reply.send(to_page(page->events, query.limit, next, [](auto& json, const auto& event) { write_event(json, event); }));
    });
}

void EventRoutes::create(const http::Request& request, const Reply& reply) {
    const auto checked = read_new_events(request, max_data_bytes_);
    if (const auto* problem = std::get_if<Problem>(&checked)) return reply.send(*problem);
    const auto key = read_idempotency_key(request);
    if (const auto* problem = std::get_if<Problem>(&key)) return reply.send(*problem);
    const auto& events = std::get<NewEvents>(checked);
    const auto good = accepted(events);
    const service::ResponseTemplate response = to_batch_response(events, kEvents, write_created, request.id);
    if (const auto& idempotency = std::get<std::optional<service::IdempotencyKey>>(key)) {
        return store_.publish_once(good, *idempotency, response, [reply](const auto& stored) { send_stored(reply, stored); });
    }
    if (good.empty()) return reply.send_body(response.status, response.body({}));
    store_.publish(good, [reply, response](const core::Result<std::vector<service::CreatedEvent>>& created) {
        if (!created) return reply.send(created.error());
        std::vector<std::string> values;
        for (const service::CreatedEvent& event : created.value()) {
            values.push_back(std::to_string(event.id));
            values.push_back(event.created_at);
            values.push_back(std::to_string(event.message_count));
        }
        reply.send_body(response.status, response.body(values));
    });
}

void EventRoutes::get(const http::Request& request, const Reply& reply) {
    const auto id = read_event_id(request);
    if (const auto* problem = std::get_if<Problem>(&id)) return reply.send(*problem);
    store_.get(std::get<core::EventId>(id), [reply](const core::Result<service::EventDetail>& found) {
        if (!found) return reply.send(found.error(), to_event_problem);
        reply.send(Answer{200, "ok", [&](core::JsonWriter& json) { write_event(json, found->event, &found.value()); }, {}});
    });
}

}  // namespace messaging::handler
