// EndpointRegistry: the endpoints as the API manages them. A port; repository implements it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/completion.h"
#include "core/message.h"
#include "service/control_store.h"
#include "service/idempotency.h"

namespace messaging::service {

inline constexpr int kDefaultMaxInFlight = 64;
inline constexpr const char* kDefaultSigning = "v1";
inline constexpr std::int64_t kHeldCountLimit = 5000;  // messages on hold are counted up to here

struct EndpointRef {
    std::optional<core::EndpointId> id{};  // else the one with that name
    std::string name{};
};

// A member of a request: not there, null (back to the default), or a value.
template <typename T>
using Change = std::optional<std::optional<T>>;

struct EndpointChanges {
    Change<std::string> name{};
    Change<std::string> url{};
    Change<std::string> description{};
    Change<std::string> tenant{};
    Change<std::string> headers{};  // a JSON object
    Change<std::vector<std::string>> event_types{};
    Change<std::string> signing{};  // v1, v1a or none
    Change<int> max_in_flight{};
    Change<int> timeout_seconds{};
    Change<int> max_attempts{};
    Change<int> rate_limit{};
};

// The attempts are those of the last 15 minutes.
struct EndpointHealth {
    Count held{};
    std::optional<std::string> oldest_held_at{};
    std::int64_t sending = 0;
    std::int64_t sent = 0;
    std::int64_t failed = 0;
    std::optional<double> success_ratio{};
    std::optional<double> p50_ms{};
    std::optional<double> p95_ms{};
    std::optional<std::string> last_error{};
};

struct EndpointView {
    core::EndpointId id = 0;
    std::string name;
    std::string url;
    std::optional<std::string> description{};
    std::optional<std::string> tenant{};
    std::string headers = "{}";  // a JSON object
    std::vector<std::string> event_types{};
    std::string signing = kDefaultSigning;
    int max_in_flight = kDefaultMaxInFlight;
    std::optional<int> timeout_seconds{};  // nullopt: the service's
    std::optional<int> max_attempts{};     // nullopt: the service's
    std::optional<int> rate_limit{};       // requests per second, of all instances together; nullopt: none
    core::EndpointState state = core::EndpointState::kActive;
    std::optional<std::string> state_reason{};
    std::string state_since{};
    std::string created_at{};
    std::string updated_at{};
    EndpointHealth health{};
};

// Newest first.
struct EndpointQuery {
    std::optional<core::EndpointState> state{};
    std::optional<std::string> tenant{};
    std::optional<std::string> name{};
    std::optional<std::string> event_type{};  // those that subscribe to it
    int limit = 50;
    std::optional<core::EndpointId> after{};
};

struct EndpointPage {
    std::vector<EndpointView> endpoints;
    std::optional<core::EndpointId> next{};  // absent on the last page
};

struct CreatedEndpoint {
    core::EndpointId id = 0;
    std::string created_at;  // also when it was last updated, and since when it is active
};

// Loop thread only; every completion as in core/completion.h. Errors of all calls:
// kNotFound: no such endpoint.
// kInvalid, SQLSTATE 23514: what the database refuses; the message begins with the field's name.
// kConflict: SQLSTATE 23505: another endpoint has the name. Without a SQLSTATE: the endpoint `default`, which cannot be deleted,
// and whose name, url and max_in_flight follow the settings.
class EndpointRegistry {
public:
    virtual ~EndpointRegistry() = default;
    virtual void list(const EndpointQuery& query, core::Completion<EndpointPage> done) = 0;
    virtual void get(const EndpointRef& endpoint, core::Completion<EndpointView> done) = 0;
    virtual void create(const EndpointChanges& endpoint, core::Completion<CreatedEndpoint> done) = 0;
    // As create(), but once for each key (MessageStore::enqueue_once). `response` has four gaps: the id, and three times
    // created_at.
    virtual void create_once(const EndpointChanges& endpoint, const IdempotencyKey& key, const ResponseTemplate& response,
                             core::Completion<StoredResponse> done) = 0;
    virtual void change(const EndpointRef& endpoint, const EndpointChanges& changes, core::Completion<EndpointView> done) = 0;
    // Answers the endpoint as it was. The messages that wait for it are dead-lettered when an engine claims them.
    virtual void remove(const EndpointRef& endpoint, core::Completion<EndpointView> done) = 0;
    virtual void disable(const EndpointRef& endpoint, const std::optional<std::string>& reason,
                         core::Completion<EndpointView> done) = 0;
    virtual void enable(const EndpointRef& endpoint, core::Completion<EndpointView> done) = 0;
    // The ids of the endpoints that have these names, or, in digits, these ids; in the order given, nullopt where there is none.
    virtual void find(const std::vector<std::string>& names,
                      core::Completion<std::vector<std::optional<core::EndpointId>>> done) = 0;
};

}  // namespace messaging::service
