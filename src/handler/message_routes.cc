// Listing, enqueueing, reading, retrying and cancelling messages.
#include "handler/message_routes.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "core/number.h"
#include "handler/cursor.h"
#include "handler/encode.h"
#include "handler/endpoint_requests.h"
#include "handler/stored_response.h"

namespace messaging::handler {
namespace {

using FoundEndpoints = std::vector<std::optional<core::EndpointId>>;

void write_created(core::JsonWriter& json, BodyGaps& gaps) {
    json.key("id");
    gaps.string(json);
    json.key("created_at");
    gaps.string(json);
}

// The endpoints that the accepted messages name, in their order, each as often as it is named.
std::vector<std::string> named_endpoints(const NewMessages& messages) {
    std::vector<std::string> names;
    for (const auto& item : messages.items) {
        const auto* message = std::get_if<service::NewMessage>(&item);
        if (message != nullptr && message->endpoint) names.push_back(*message->endpoint);
    }
    return names;
}

// `found`: an id for each of named_endpoints(); a message whose endpoint has none is refused.
NewMessages with_endpoints(NewMessages messages, const FoundEndpoints& found) {
    auto next = found.begin();
    for (auto& item : messages.items) {
        auto* message = std::get_if<service::NewMessage>(&item);
        if (message == nullptr || !message->endpoint) continue;
        message->endpoint_id = *next++;
        if (!message->endpoint_id)
            item = invalid_field("endpoint", "must be the name or the id of an endpoint: there is no such endpoint");
    }
    return messages;
}

// The messages of an endpoint that is gone still have its id.
std::optional<core::EndpointId> id_of(const std::string& named, const std::optional<core::EndpointId>& found) {
    if (found) return found;
    const auto id = core::parse_number<core::EndpointId>(named);
    return id && *id > 0 ? id : std::nullopt;
}

Problem to_cancel_problem(const core::Error& error) {
    if (error.kind == core::ErrorKind::kConflict) return {409, "not_cancellable", error.message};
    return to_problem(error);
}

Answer to_answer(const service::MessageDetail& detail, int status, const char* message) {
    return {status, message, [&detail](core::JsonWriter& json) { write_message(json, detail.first, &detail.second); }, {}};
}

}  // namespace

service::ResponseTemplate response_to(const NewMessages& messages, const std::string& request_id) {
    return to_batch_response(messages, kMessages, write_created, request_id);
}

// With whole contents. A short page has a next cursor like any other.
int MessageRoutes::most_on_a_page() const {
    return static_cast<int>(std::clamp<std::size_t>(kMaxPageBytes / max_content_bytes_, 1, kMaxLimit));
}

void MessageRoutes::list(const http::Request& request, const Reply& reply) {
    const auto checked = read_list_query(request);
    if (const auto* problem = std::get_if<Problem>(&checked)) return reply.send(*problem);
    auto query = std::get<service::ListQuery>(checked);
    if (query.with_content) query.limit = std::min(query.limit, most_on_a_page());
    if (!query.endpoint) return send_page(query, query.limit, request.id, reply);
    endpoints_.find({*query.endpoint}, [this, query, request_id = request.id, reply](const core::Result<FoundEndpoints>& found) {
        if (!found) return reply.send(found.error());
        service::ListQuery with_id = query;
        with_id.endpoint_id = id_of(*query.endpoint, found->front());
        if (!with_id.endpoint_id) return reply.send(unknown_endpoint());
        send_page(with_id, query.limit, request_id, reply);
    });
}

// If a page is too long to be sent, the store is asked again for fewer messages, because only the store knows where the next
// page begins.
void MessageRoutes::send_page(const service::ListQuery& query, int limit, const std::string& request_id, const Reply& reply) {
    store_.list(query, [this, query, limit, request_id, reply](const core::Result<service::ListPage>& page) {
        if (!page) return reply.send(page.error());
        int written = 0;
        auto response = to_response(
            Answer{200, "ok",
                   [&](core::JsonWriter& json) { written = write_messages(json, page->messages, kMaxEncodedPageBytes); },
                   [&](core::JsonWriter& json) {
                       json.key("limit").integer(limit);
                       write_optional(json, "next_cursor",
                                      page->next ? std::optional(write_cursor(query, *page->next)) : std::nullopt);
                   }},
            request_id);
        if (written == static_cast<int>(page->messages.size())) return reply.send_body(200, std::move(response.body));
        service::ListQuery shorter = query;
        shorter.limit = written;
        send_page(shorter, limit, request_id, reply);
    });
}

void MessageRoutes::create(const http::Request& request, const Reply& reply) {
    const auto checked = read_new_messages(request, max_content_bytes_);
    if (const auto* problem = std::get_if<Problem>(&checked)) return reply.send(*problem);
    const auto key = read_idempotency_key(request);
    if (const auto* problem = std::get_if<Problem>(&key)) return reply.send(*problem);
    const auto& messages = std::get<NewMessages>(checked);
    const auto& idempotency = std::get<std::optional<service::IdempotencyKey>>(key);
    std::vector<std::string> named = named_endpoints(messages);
    if (named.empty()) return enqueue(messages, idempotency, request.id, reply);
    endpoints_.find(named,
                    [this, messages, idempotency, request_id = request.id, reply](const core::Result<FoundEndpoints>& found) {
                        if (!found) return reply.send(found.error());
                        enqueue(with_endpoints(messages, found.value()), idempotency, request_id, reply);
                    });
}

void MessageRoutes::enqueue(const NewMessages& messages, const std::optional<service::IdempotencyKey>& idempotency,
                            const std::string& request_id, const Reply& reply) {
    std::vector<service::NewMessage> good = accepted(messages);
    const service::ResponseTemplate response = response_to(messages, request_id);
    if (idempotency) {
        // Also where every item was refused: a repeat is answered alike, whatever the limits are by then.
        return store_.enqueue_once(std::move(good), *idempotency, response,
                                   [reply](const auto& stored) { send_stored(reply, stored); });
    }
    if (good.empty()) return reply.send_body(response.status, response.body({}));
    store_.enqueue(std::move(good), [reply, response](const core::Result<std::vector<service::CreatedMessage>>& created) {
        if (!created) return reply.send(created.error());
        std::vector<std::string> values;
        for (const service::CreatedMessage& message : created.value()) {
            values.push_back(std::to_string(message.id));
            values.push_back(message.created_at);
        }
        reply.send_body(response.status, response.body(values));
    });
}

void MessageRoutes::get(const http::Request& request, const Reply& reply) {
    const auto message = read_message_ref(request);
    if (const auto* problem = std::get_if<Problem>(&message)) return reply.send(*problem);
    store_.get(std::get<service::MessageRef>(message), [reply](const core::Result<service::MessageDetail>& found) {
        if (!found) return reply.send(found.error());
        reply.send(to_answer(found.value(), 200, "ok"));
    });
}

void MessageRoutes::retry(const http::Request& request, const Reply& reply) {
    const auto message = read_message_ref(request);
    if (const auto* problem = std::get_if<Problem>(&message)) return reply.send(*problem);
    store_.retry(std::get<service::MessageRef>(message), [reply](const core::Result<service::MessageDetail>& queued) {
        if (!queued) return reply.send(queued.error());
        reply.send(to_answer(queued.value(), 202, "the message will be sent again"));
    });
}

void MessageRoutes::cancel(const http::Request& request, const Reply& reply) {
    const auto message = read_message_ref(request);
    if (const auto* problem = std::get_if<Problem>(&message)) return reply.send(*problem);
    const auto reason = read_reason(request);
    if (const auto* problem = std::get_if<Problem>(&reason)) return reply.send(*problem);
    store_.cancel(std::get<service::MessageRef>(message), std::get<std::optional<std::string>>(reason),
                  [reply](const core::Result<service::MessageDetail>& cancelled) {
                      if (!cancelled) return reply.send(cancelled.error(), to_cancel_problem);
                      reply.send(to_answer(cancelled.value(), 200, "cancelled: the message is not sent unless it is retried"));
                  });
}

}  // namespace messaging::handler
