// MessageStore: the archive as the API uses it. A port; repository implements it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/completion.h"
#include "core/message.h"
#include "service/idempotency.h"

namespace messaging::service {

enum class ListStatus { kSent, kPending, kScheduled, kDead, kAll };

// The last row of a page, in the terms of the list's own order; opaque to clients (service/cursor.h encodes it).
struct ListPosition {
    std::int64_t major = 0;  // sent: batch id · pending: xid · scheduled, dead: microseconds since 1970 · all, recipient: 0
    core::MessageId id = 0;
};

struct ListQuery {
    ListStatus status = ListStatus::kSent;
    std::optional<std::string> recipient;
    int limit = 50;
    std::optional<ListPosition> after;
};

struct ListPage {
    std::vector<core::MessageView> messages;
    std::optional<ListPosition> next;  // absent on the last page; a short page can have one (bounded work per request)
};

struct NewMessage {
    std::string recipient;
    std::string content;
};

struct CreatedMessage {
    core::MessageId id = 0;
    std::string created_at;
};

// Loop thread only; every completion as in core/completion.h.
class MessageStore {
public:
    virtual ~MessageStore() = default;
    virtual void list(const ListQuery& query, core::Completion<ListPage> done) = 0;
    // kNotFound when there is no such message.
    virtual void get(core::MessageId id, core::Completion<std::pair<core::MessageView, std::vector<core::AttemptView>>> done) = 0;
    // Answers the messages in the order given. kInternal: not all of them were created, because a trigger dropped some.
    virtual void enqueue(std::vector<NewMessage> messages, core::Completion<std::vector<CreatedMessage>> done) = 0;
    // The same once for each key, of any number of messages. `response` has two gaps for each message, its id and its created_at,
    // and is stored in the same transaction. A repeat creates nothing and gets the stored response. On any error nothing is
    // created or stored. kConflict: the key was used with another fingerprint, or (SQLSTATE 55P03) by a request that is still
    // open.
    virtual void enqueue_once(std::vector<NewMessage> messages, const IdempotencyKey& key, const ResponseTemplate& response,
                              core::Completion<StoredResponse> done) = 0;
    // Sends again what is sent, dead or scheduled. kNotFound; kConflict when it is queued or in flight already.
    virtual void retry(core::MessageId id, core::Completion<core::Unit> done) = 0;
};

}  // namespace messaging::service
