// EventStore: events as the API uses them. A port; repository implements it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/completion.h"
#include "core/message.h"
#include "core/rfc3339.h"
#include "service/idempotency.h"

namespace messaging::service {

inline constexpr int kMaxEventMessages = 250;  // that are shown with an event

struct NewEvent {
    std::string type;
    std::string data;  // JSON, kept byte for byte
    std::optional<std::string> tenant{};
};

struct CreatedEvent {
    core::EventId id = 0;
    std::string created_at;
    std::int64_t message_count = 0;  // one for each endpoint that subscribes; 0: nobody does
};

struct EventView {
    core::EventId id = 0;
    std::string type;
    std::optional<std::string> tenant{};
    std::string created_at;
    std::int64_t message_count = 0;
};

struct EventDetail {
    EventView event;
    std::string data;
    std::vector<core::MessageView> messages;  // the first kMaxEventMessages
};

// Newest first.
struct EventQuery {
    std::optional<std::string> type{};
    std::optional<std::string> tenant{};
    int limit = 50;
    std::optional<core::EventId> after{};
    std::optional<core::Microseconds> since{};  // created then or later
    std::optional<core::Microseconds> until{};  // created before
};

struct EventPage {
    std::vector<EventView> events;
    std::optional<core::EventId> next{};  // absent on the last page; a short page can have one (bounded work per request)
};

// Loop thread only; every completion as in core/completion.h.
class EventStore {
public:
    virtual ~EventStore() = default;
    virtual void list(const EventQuery& query, core::Completion<EventPage> done) = 0;
    // kNotFound: no such event.
    virtual void get(core::EventId id, core::Completion<EventDetail> done) = 0;
    // Answers the events in the order given. kInternal: not all of them were created, because a trigger dropped some.
    virtual void publish(const std::vector<NewEvent>& events, core::Completion<std::vector<CreatedEvent>> done) = 0;
    // As publish(), but once for each key (MessageStore::enqueue_once). `response` has three gaps for each event: its id, its
    // created_at and its message_count.
    virtual void publish_once(const std::vector<NewEvent>& events, const IdempotencyKey& key, const ResponseTemplate& response,
                              core::Completion<StoredResponse> done) = 0;
};

}  // namespace messaging::service
