// ReplayStore: replays as the API uses them. A port; repository implements it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/completion.h"
#include "core/message.h"
#include "core/rfc3339.h"
#include "service/control_store.h"
#include "service/idempotency.h"

namespace messaging::service {

// Which messages are sent again. Without a value a member chooses every message.
struct ReplayFilter {
    std::string status = "dead";                // dead, sent or both
    std::optional<std::string> endpoint{};      // its name or id
    std::optional<core::Microseconds> since{};  // compared with created_at
    std::optional<core::Microseconds> until{};
    std::optional<std::string> event_type{};  // exact, or all below a name: invoice.*
    std::optional<std::string> tenant{};      // of the endpoint
};

struct ReplayView {
    core::ReplayId id = 0;
    std::string state = "running";  // or done, cancelled
    std::string status;
    std::optional<core::EndpointId> endpoint_id{};
    std::optional<std::string> endpoint{};  // its name; absent also where it is gone
    std::optional<std::string> event_type{};
    std::optional<std::string> tenant{};
    std::optional<std::string> since{};
    std::optional<std::string> until{};
    double progress = 0;        // from 0 to 1
    std::int64_t replayed = 0;  // messages that were sent again
    std::int64_t skipped = 0;   // their endpoint is gone, or is disabled and was not named by the filter
    std::int64_t refused = 0;   // PostgreSQL refused the change
    std::optional<std::string> last_error{};
    std::string created_by;
    std::string created_at;
    std::optional<std::string> finished_at{};
};

// Newest first.
struct ReplayQuery {
    int limit = 50;
    std::optional<core::ReplayId> after{};
};

struct ReplayPage {
    std::vector<ReplayView> replays;
    std::optional<core::ReplayId> next{};  // absent on the last page
};

// Loop thread only; every completion as in core/completion.h.
//
// Where the database refuses a filter: kInvalid with core::kCheckViolation and a sentence that begins with the field. Where too
// many replays run: core::kProgramLimitExceeded.
class ReplayStore {
public:
    virtual ~ReplayStore() = default;
    virtual void list(const ReplayQuery& query, core::Completion<ReplayPage> done) = 0;
    // kNotFound: no such replay.
    virtual void get(core::ReplayId id, core::Completion<ReplayView> done) = 0;
    // How many messages the filter chooses; creates nothing.
    virtual void count(const ReplayFilter& filter, core::Completion<Count> done) = 0;
    virtual void create(const ReplayFilter& filter, const std::string& by, core::Completion<ReplayView> done) = 0;
    // As create(), but once for each key (MessageStore::enqueue_once). The gaps of `response` take the id; the endpoint's id and
    // name if the filter has an endpoint; and created_at.
    virtual void create_once(const ReplayFilter& filter, const std::string& by, const IdempotencyKey& key,
                             const ResponseTemplate& response, core::Completion<StoredResponse> done) = 0;
    // kConflict: it does not run any more.
    virtual void cancel(core::ReplayId id, core::Completion<ReplayView> done) = 0;
};

}  // namespace messaging::service
