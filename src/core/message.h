// The words of the domain as values: delivery, endpoint, outcome, receipt, and a message as the API shows it.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/clock.h"
#include "core/signer.h"

namespace messaging::core {

using MessageId = std::int64_t;
using EndpointId = std::int64_t;
using EventId = std::int64_t;
using ReplayId = std::int64_t;
using ClaimId = std::int64_t;
using InstanceId = std::int64_t;

inline constexpr EndpointId kDefaultEndpointId = 1;
inline constexpr std::size_t kMaxErrorBytes = 500;  // of the reason for a failed attempt or a dead letter, as it is stored
inline constexpr int kResendBits = 7;               // the low bits of a generation count how often the message was sent again

// A claimed message, on its way.
struct Delivery {
    MessageId id = 0;
    ClaimId claim_id = 0;
    EndpointId endpoint_id = kDefaultEndpointId;
    int attempts = 0;    // used up before this one
    int generation = 0;  // of the message's row: another one = another message with this id, or sent again since
    std::string recipient;
    std::string content;
    bool is_event = false;              // content is the whole body of the request, and there is no recipient
    double age_seconds = 0;             // of the message when it was claimed, by PostgreSQL's clock
    bool was_held = false;              // it was claimed from the hold
    std::int64_t endpoint_version = 0;  // of its endpoint when it was claimed; in flight: as it was sent to
    MonoTime claimed{};                 // when the engine had it, by the engine's own clock
};

// As messaging._endpoint_state has it.
enum class EndpointState {
    kActive,
    kBacklogged,  // its messages go through the hold: they come faster than it takes them, or were kept while it was disabled
    kFailing,     // nothing but failures: its messages wait in the hold, and one at a time is tried
    kDisabled,    // its messages wait in the hold until it is enabled
};
inline constexpr std::array kEndpointStates{EndpointState::kActive, EndpointState::kBacklogged, EndpointState::kFailing,
                                            EndpointState::kDisabled};

constexpr std::string_view word_of(EndpointState state) {
    switch (state) {
        case EndpointState::kActive: return "active";
        case EndpointState::kBacklogged: return "backlogged";
        case EndpointState::kFailing: return "failing";
        case EndpointState::kDisabled: return "disabled";
    }
    return "";
}

struct Endpoint {
    EndpointId id = kDefaultEndpointId;
    std::string name;
    std::string url;
    std::vector<std::pair<std::string, std::string>> headers;
    int max_in_flight = 64;
    EndpointState state = EndpointState::kActive;
    std::int64_t version = 0;                            // another one after each change of the endpoint or of its secrets
    std::optional<std::chrono::milliseconds> timeout{};  // of one request; nullopt = the service's
    std::optional<int> max_attempts{};                   // nullopt = the service's
    std::optional<int> rate_limit{};                     // requests per second, of all instances together; nullopt = none
    std::vector<ValidSigner> signers{};  // newest first; each signs every request until it expires. None: not signed
    std::string unusable{};              // why its requests cannot be signed, and none may be sent; empty = they can
};

// Engines claim its messages from the hold.
constexpr bool is_sent_from_hold(EndpointState state) {
    return state == EndpointState::kBacklogged || state == EndpointState::kFailing;
}

// How many of the messages that are held for an endpoint an engine can take now.
struct EndpointCapacity {
    EndpointId endpoint = 0;
    int capacity = 0;
    bool newest_first = false;  // otherwise in order
};

// What became of a delivery.
enum class OutcomeKind {
    kDelivered,
    kRetry,     // counted; again after `delay`
    kDead,      // counted; the last attempt has failed
    kDeferred,  // not counted (our own fault, or the endpoint is unknown or removed): again after `delay`
    kHeld,      // not counted: moved to the hold, because its endpoint cannot take it soon
    kReleased,  // not counted: released at a stop, back to the queue now (its request may have been under way)
    kGivenUp,   // not counted: its row cannot be changed, so it is dead-lettered by a row in _dead alone
};

inline constexpr std::array kOutcomeKinds{OutcomeKind::kDelivered, OutcomeKind::kRetry, OutcomeKind::kDead,
                                          OutcomeKind::kDeferred,  OutcomeKind::kHeld,  OutcomeKind::kReleased,
                                          OutcomeKind::kGivenUp};

// True for outcomes of attempts that count. The other kinds leave the message's number of attempts as it was.
constexpr bool is_counted(OutcomeKind kind) {
    return kind == OutcomeKind::kDelivered || kind == OutcomeKind::kRetry || kind == OutcomeKind::kDead;
}

struct Outcome {
    MessageId id = 0;
    ClaimId claim_id = 0;
    OutcomeKind kind = OutcomeKind::kDelivered;
    int attempts = 0;    // including this one, where it counts
    int generation = 0;  // the delivery's
    std::chrono::milliseconds delay{0};
    std::chrono::milliseconds duration{0};
    std::optional<int> status;                       // HTTP status, when one was received
    std::optional<std::string> receiver_message_id;  // UTF-8 without NUL, bounded
    std::string error;                               // readable reason; empty when delivered
};

// The record of a sent message, for Redis.
struct Receipt {
    MessageId id = 0;
    std::optional<std::string> receiver_message_id;
    std::string sent_at;  // RFC 3339 UTC
};

enum class MessageStatus { kPending, kSending, kScheduled, kHeld, kSent, kDead };
inline constexpr std::array kMessageStatuses{MessageStatus::kPending, MessageStatus::kSending, MessageStatus::kScheduled,
                                             MessageStatus::kHeld,    MessageStatus::kSent,    MessageStatus::kDead};

constexpr std::string_view word_of(MessageStatus status) {
    switch (status) {
        case MessageStatus::kPending: return "pending";
        case MessageStatus::kSending: return "sending";
        case MessageStatus::kScheduled: return "scheduled";
        case MessageStatus::kHeld: return "held";
        case MessageStatus::kSent: return "sent";
        case MessageStatus::kDead: return "dead";
    }
    return "";
}

// One message as the API shows it. Times are RFC 3339 UTC text, made by PostgreSQL.
struct MessageView {
    MessageId id = 0;
    std::string webhook_id;
    std::optional<EventId> event_id;        // it delivers this event, and has no recipient and no content of its own
    std::optional<std::string> event_type;  // nullopt when the event is gone
    std::optional<std::string> recipient;
    std::optional<std::string> content;  // in a list only its beginning, unless all of it was asked for
    int content_bytes = 0;               // of all of it
    MessageStatus status = MessageStatus::kPending;
    int attempts = 0;
    std::string created_at;
    std::optional<std::string> sent_at;
    std::optional<std::string> next_attempt_at;  // scheduled only
    std::optional<std::string> dead_at;          // dead only
    std::optional<std::string> receiver_message_id;
    std::optional<std::string> last_error;
    EndpointId endpoint_id = kDefaultEndpointId;
    std::optional<std::string> endpoint;  // its name; nullopt when the endpoint is gone
};

struct AttemptView {
    int attempt = 0;
    std::string attempted_at;
    std::optional<int> http_status;
    int duration_ms = 0;
    std::string error;
};

}  // namespace messaging::core
