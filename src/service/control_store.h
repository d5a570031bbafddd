// ControlStore: the service state and the status page. A port; repository implements it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/completion.h"
#include "core/message.h"

namespace messaging::service {

struct ServiceState {
    bool running = true;
    std::string since;
    std::string changed_by;
};

struct InstanceView {
    core::InstanceId id = 0;
    std::string name;
    std::string started_at;
    double last_seen_seconds_ago = 0;
    int in_flight = 0;
};

struct Count {
    std::int64_t count = 0;
    bool exact = true;  // counted up to kExactCountLimit, estimated beyond
};
inline constexpr std::int64_t kExactCountLimit = 5000;

// Of the endpoints whose messages wait in the hold.
inline constexpr std::array kShownEndpointStates{"backlogged", "failing", "disabled"};

struct StatusView {
    ServiceState state;
    std::vector<InstanceView> instances;
    Count pending;  // in the queue: without claimed messages
    Count scheduled;
    Count held;
    Count dead;
    std::array<std::int64_t, kShownEndpointStates.size()> endpoints{};  // in these states. Shown by /metrics
    std::int64_t in_flight = 0;
    double sent_per_second = 0;  // over the last 10 s, all instances
    std::optional<double> oldest_pending_seconds;
    std::string default_url;  // of the endpoint that WEBHOOK_URL sets; empty where there is none. Not shown
};

class ControlStore {
public:
    virtual ~ControlStore() = default;
    virtual bool up() const = 0;
    // Idempotent: `since` and `changed_by` change only with the state.
    virtual void set_running(bool running, const std::string& by, core::Completion<ServiceState> done) = 0;
    virtual void read_status(core::Completion<StatusView> done) = 0;
};

}  // namespace messaging::service
