// Listing, enqueueing, one message, sending it again.
#include "handler/message_routes.h"

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "handler/encode.h"

namespace messaging::handler {
namespace {

// What becomes of each item, in the order given: a refusal, or null for a message that is accepted. It is kept with an
// Idempotency-Key, because a repeat must be answered as the first request was, whatever the limits are by then.
std::string outline_of(const NewMessages& messages) {
    core::JsonWriter json;
    json.begin_array();
    for (const auto& item : messages.items) {
        if (const auto* problem = std::get_if<Problem>(&item)) {
            json.begin_object().key("status").integer(problem->status).key("code").string(problem->code);
            json.key("message").string(problem->message).end_object();
        } else {
            json.null();
        }
    }
    json.end_array();
    return std::string(json.text());
}

void copy_text(core::JsonWriter& json, const core::JsonView& object, const char* name) {
    const auto value = object.member(name);
    if (value && value->is_string()) json.key(name).string(value->text());
}

void write_results(core::JsonWriter& json, const core::JsonView& outline, const std::vector<service::CreatedMessage>& created) {
    auto next = created.begin();
    json.begin_array();
    for (std::size_t i = 0; i < outline.size(); ++i) {
        const core::JsonView item = outline.at(i);
        json.begin_object().key("index").integer(static_cast<std::int64_t>(i));
        if (item.is_object()) {
            const auto status = item.member("status");
            json.key("status").integer(
                status && status->is_number() ? std::strtol(std::string(status->text()).c_str(), nullptr, 10) : 422);
            copy_text(json, item, "code");
            copy_text(json, item, "message");
        } else if (next != created.end()) {
            json.key("status").integer(201).key("id").string(std::to_string(next->id));
            json.key("created_at").string(next->created_at);
            ++next;
        }
        json.end_object();
    }
    json.end_array();
}

std::size_t accepted_of(const core::JsonView& outline) {
    std::size_t accepted = 0;
    for (std::size_t i = 0; i < outline.size(); ++i) accepted += outline.at(i).is_null() ? 1U : 0U;
    return accepted;
}

// One result per item, in the order given.
void send_results(const Reply& reply, const std::string& outline_text, const service::EnqueueResult& result) {
    const auto document = core::JsonDocument::parse(outline_text);
    if (!document || !document->root().is_array() || accepted_of(document->root()) != result.created.size()) {
        return reply.send(
            core::Error{core::ErrorKind::kInternal,
                        "the database has made another number of messages than were accepted: does a trigger of the "
                        "application's drop some?",
                        ""});
    }
    const core::JsonView outline = document->root();
    const bool all = result.created.size() == outline.size();
    const auto results = [&](core::JsonWriter& json) { write_results(json, outline, result.created); };
    http::Headers headers;
    if (result.replayed) headers.emplace_back("Idempotent-Replayed", "true");
    reply.send(
        all ? Answer{201, "created", results, {}} : Answer{207, "some messages were refused: see each result", results, {}},
        headers);
}

}  // namespace

// A short page has a next cursor like any other.
int MessageRoutes::most_on_a_page() const {
    return static_cast<int>(std::clamp<std::size_t>(kMaxPageBytes / max_content_bytes_, 1, kMaxLimit));
}

void MessageRoutes::list(const http::Request& request, const Reply& reply) {
    const auto checked = read_list_query(request);
    if (const auto* problem = std::get_if<Problem>(&checked)) return reply.send(*problem);
    auto query = std::get<service::ListQuery>(checked);
    query.limit = std::min(query.limit, most_on_a_page());
    store_.list(query, [reply, query](const core::Result<service::ListPage>& page) {
        if (!page) return reply.send(page.error());
        reply.send(Answer{200, "ok",
                          [&](core::JsonWriter& json) {
                              json.begin_array();
                              for (const core::MessageView& message : page->messages) write_message(json, message);
                              json.end_array();
                          },
                          [&](core::JsonWriter& json) {
                              json.key("limit").integer(query.limit);
                              write_optional(json, "next_cursor",
                                             page->next ? std::optional(write_cursor(query, *page->next)) : std::nullopt);
                          }});
    });
}

void MessageRoutes::create(const http::Request& request, const Reply& reply) {
    auto checked = read_new_messages(request, max_content_bytes_);
    if (const auto* problem = std::get_if<Problem>(&checked)) return reply.send(*problem);
    auto key = read_idempotency_key(request);
    if (const auto* problem = std::get_if<Problem>(&key)) return reply.send(*problem);
    auto& messages = std::get<NewMessages>(checked);
    if (!messages.is_array) {
        if (const auto* problem = std::get_if<Problem>(&messages.items.front())) return reply.send(*problem);
    }
    std::vector<service::NewMessage> good;
    for (const auto& item : messages.items) {
        if (const auto* message = std::get_if<service::NewMessage>(&item)) good.push_back(*message);
    }
    const std::string outline = outline_of(messages);
    if (good.empty()) return send_results(reply, outline, {});
    auto& idempotency = std::get<std::optional<service::IdempotencyKey>>(key);
    if (idempotency) idempotency->outline = outline;
    store_.enqueue(std::move(good), std::move(idempotency), [reply, outline](const core::Result<service::EnqueueResult>& result) {
        if (result) return send_results(reply, result->replayed ? result->outline : outline, result.value());
        if (result.error().kind != core::ErrorKind::kConflict) return reply.send(result.error());
        if (!result.error().sqlstate.empty()) {
            return reply.send(Problem{409, "idempotency_in_progress",
                                      "the first request with this Idempotency-Key is still under way: try again shortly"});
        }
        reply.send(Problem{422, "idempotency_key_reused", "this Idempotency-Key belongs to another body: use a new one"});
    });
}

void MessageRoutes::get(const http::Request& request, const Reply& reply) {
    const auto id = read_id(request);
    if (const auto* problem = std::get_if<Problem>(&id)) return reply.send(*problem);
    store_.get(std::get<core::MessageId>(id), [reply](const auto& found) {
        if (!found) return reply.send(found.error());
        const auto write = [&](core::JsonWriter& json) { write_message(json, found.value().first, &found.value().second); };
        reply.send(Answer{200, "ok", write, {}});
    });
}

void MessageRoutes::retry(const http::Request& request, const Reply& reply) {
    const auto id = read_id(request);
    if (const auto* problem = std::get_if<Problem>(&id)) return reply.send(*problem);
    store_.retry(std::get<core::MessageId>(id), [reply](const core::Result<core::Nothing>& result) {
        if (!result) return reply.send(result.error());
        reply.send(Answer{202, "the message will be sent again", {}, {}});
    });
}

}  // namespace messaging::handler
