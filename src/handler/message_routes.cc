// Listing, enqueueing, one message, sending it again.
#include "handler/message_routes.h"

#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "handler/encode.h"

namespace messaging::handler {
namespace {

void write_results(core::JsonWriter& json, const NewMessages& messages, const service::EnqueueResult& result) {
    std::size_t created = 0;
    json.begin_array();
    for (std::size_t i = 0; i < messages.items.size(); ++i) {
        json.begin_object().key("index").integer(static_cast<std::int64_t>(i));
        if (const auto* problem = std::get_if<Problem>(&messages.items[i])) {
            json.key("status").integer(problem->status).key("code").string(problem->code);
            json.key("message").string(problem->message);
        } else {
            const service::CreatedMessage& message = result.created.at(created++);
            json.key("status").integer(201).key("id").string(std::to_string(message.id));
            json.key("created_at").string(message.created_at);
        }
        json.end_object();
    }
    json.end_array();
}

// One result per item, in the order given.
void send_results(const Reply& reply, const NewMessages& messages, const service::EnqueueResult& result) {
    const bool all = result.created.size() == messages.items.size();
    const auto results = [&](core::JsonWriter& json) { write_results(json, messages, result); };
    http::Headers headers;
    if (result.replayed) headers.emplace_back("Idempotent-Replayed", "true");
    reply.send(
        all ? Answer{201, "created", results, {}} : Answer{207, "some messages were refused: see each result", results, {}},
        headers);
}

}  // namespace

void MessageRoutes::list(const http::Request& request, const Reply& reply) {
    const auto checked = read_list_query(request);
    if (const auto* problem = std::get_if<Problem>(&checked)) return reply.send(*problem);
    const auto& query = std::get<service::ListQuery>(checked);
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
    if (good.empty()) return send_results(reply, messages, {});
    store_.enqueue(
        std::move(good), std::get<std::optional<service::IdempotencyKey>>(std::move(key)),
        [reply, messages = std::move(messages)](const core::Result<service::EnqueueResult>& result) {
            if (result) return send_results(reply, messages, result.value());
            if (result.error().kind != core::ErrorKind::kConflict) return reply.send(result.error());
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
