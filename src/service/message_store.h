// MessageStore: the messages as the API uses them. A port; repository implements it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/completion.h"
#include "core/message.h"
#include "core/rfc3339.h"
#include "service/idempotency.h"

namespace messaging::service {

// Each list but kAll has exactly the messages whose status is the same word.
enum class ListStatus { kSent, kPending, kSending, kScheduled, kHeld, kDead, kAll };
inline constexpr std::array kListStatuses{ListStatus::kSent, ListStatus::kPending, ListStatus::kSending, ListStatus::kScheduled,
                                          ListStatus::kHeld, ListStatus::kDead,    ListStatus::kAll};

constexpr std::string_view word_of(ListStatus status) {
    switch (status) {
        case ListStatus::kSent: return "sent";
        case ListStatus::kPending: return "pending";
        case ListStatus::kSending: return "sending";
        case ListStatus::kScheduled: return "scheduled";
        case ListStatus::kHeld: return "held";
        case ListStatus::kDead: return "dead";
        case ListStatus::kAll: break;
    }
    return "all";
}

inline constexpr std::size_t kMaxListedContentBytes = 1024;  // of a message's content in a list, unless all of it is asked for

// The last row of a page, in the terms of the list's own order; opaque to clients (handler/cursor.h encodes it).
struct ListPosition {
    std::int64_t major = 0;  // sent without a filter: batch id · scheduled: microseconds since 1970 · all others: 0
    core::MessageId id = 0;
};

// The order: newest id first; scheduled without an event: next attempt first; sent without a filter: most recently sent first.
struct ListQuery {
    ListStatus status = ListStatus::kSent;
    std::optional<std::string> recipient{};
    int limit = 50;
    std::optional<ListPosition> after{};
    std::optional<core::Microseconds> since{};  // created then or later
    std::optional<core::Microseconds> until{};  // created before
    bool with_content = false;                  // else the first kMaxListedContentBytes
    std::optional<std::string> endpoint{};      // as the client has named it; the store reads endpoint_id
    std::optional<core::EndpointId> endpoint_id{};
    std::optional<core::EventId> event_id{};  // never with a recipient
};

struct ListPage {
    std::vector<core::MessageView> messages;
    std::optional<ListPosition> next;  // absent on the last page; a short page can have one (bounded work per request)
};

struct MessageRef {
    core::MessageId id = 0;
    std::optional<std::string> webhook_id{};  // if set, the message must have this webhook-id, too
};

using MessageDetail = std::pair<core::MessageView, std::vector<core::AttemptView>>;

struct NewMessage {
    std::string recipient;
    std::string content;
    std::optional<std::string> endpoint{};          // as the client has named it; nullopt = the endpoint default
    std::optional<core::EndpointId> endpoint_id{};  // found by EndpointRegistry::find(); nullopt = the endpoint default
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
    virtual void get(const MessageRef& message, core::Completion<MessageDetail> done) = 0;
    // Answers the messages in the order given. kInternal: not all of them were created, because a trigger dropped some.
    virtual void enqueue(std::vector<NewMessage> messages, core::Completion<std::vector<CreatedMessage>> done) = 0;
    // As enqueue(), but once for each key. `messages` may be empty: all items were refused. `response` has two gaps for each
    // message, its id and its created_at, and is stored in the same transaction. A repeat creates nothing and gets the stored
    // response. On any error nothing is created or stored. kConflict: the key was used with another fingerprint, or (SQLSTATE
    // 55P03) by a request that is still open.
    virtual void enqueue_once(std::vector<NewMessage> messages, const IdempotencyKey& key, const ResponseTemplate& response,
                              core::Completion<StoredResponse> done) = 0;
    // Sends a message again that is sent, dead-lettered or scheduled, and answers the message as it is then. kNotFound;
    // kConflict when it is queued, held or in flight already.
    virtual void retry(const MessageRef& message, core::Completion<MessageDetail> done) = 0;
    // Dead-letters a message that waits, and answers the message as it is then. Without a reason, or with an empty one, it is
    // "cancelled". kNotFound; kConflict when it is sent, dead-lettered or in flight already.
    virtual void cancel(const MessageRef& message, const std::optional<std::string>& reason,
                        core::Completion<MessageDetail> done) = 0;
};

}  // namespace messaging::service
