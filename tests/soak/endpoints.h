// The endpoints of the soak, and what their operators do: create, edit, disable, enable and delete them, rotate secrets, replay.
#pragma once

#include <array>
#include <atomic>
#include <string>

#include "soak/background.h"
#include "soak/chance.h"
#include "soak/receivers.h"
#include "soak/signatures.h"

namespace messaging::test {

inline constexpr int kOfEachBadKind = 50;
inline constexpr std::array kEventTypes{"order.paid", "order.refund.done", "user.created", "broken.often"};

// Besides `default`: slow, good-<n>, limited-<per second>-<n>, event-<what>, bad-<kind>-<n>; and passing-<n>, which come and go.
void create_endpoints(const std::string& database_url, const GoodReceiver& good, const BadReceivers& bad);

void enable_endpoints(const std::string& database_url);

// Gives every endpoint a receiver that accepts, no limit, and enables it, so that whatever waits must be sent. Cancels every
// second replay that runs; the others must end.
void mend_endpoints(const std::string& database_url, const GoodReceiver& good);

// Events of which a subscriber has not exactly the message that it should have.
inline constexpr const char* kWrongFanOut = R"sql(
SELECT count(*) FROM (
    SELECT FROM messaging.events v
    CROSS JOIN (SELECT id, name FROM messaging.endpoints WHERE name LIKE 'event-%') e
    LEFT JOIN public.messages m ON m.event_id = v.id AND m.endpoint_id = e.id
    GROUP BY v.id, v.type, v.tenant, e.name
    HAVING count(m.id) <> CASE e.name
        WHEN 'event-exact' THEN (v.type = 'order.paid' AND v.tenant IS NULL)::int
        WHEN 'event-below' THEN (v.type LIKE 'order.%' AND v.tenant IS NULL)::int
        WHEN 'event-all' THEN (v.type NOT LIKE 'messaging.%' AND v.tenant IS NULL)::int
        WHEN 'event-tenant' THEN (v.type NOT LIKE 'messaging.%' AND v.tenant IS NOT NULL)::int
        WHEN 'event-own' THEN (v.type LIKE 'messaging.%')::int END) wrong)sql";

class Operators {
public:
    Operators(const std::string& database_url, const GoodReceiver& good, Signatures& signatures, unsigned seed);

    long rotations() const { return rotations_; }
    long changes() const { return changes_; }
    long replays() const { return replays_; }

private:
    std::optional<std::chrono::milliseconds> change(pg::Session& session);
    std::optional<std::chrono::milliseconds> rotate(pg::Session& session);
    std::optional<std::chrono::milliseconds> replay(pg::Session& session);
    std::string next_change();

    const GoodReceiver& good_;
    Signatures& signatures_;
    std::atomic<long> rotations_{0};
    std::atomic<long> changes_{0};
    std::atomic<long> replays_{0};
    int created_ = 0;
    Chance for_changes_;
    Chance for_rotations_;
    Chance for_replays_;
    Background changing_;  // depends-on: all above
    Background rotating_;
    Background replaying_;
};

}  // namespace messaging::test
