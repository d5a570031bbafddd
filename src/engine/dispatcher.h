// Dispatcher: from claimed deliveries to outcomes: queues them by endpoint, starts what may start, classifies answers.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "core/clock.h"
#include "core/message.h"
#include "core/outcome.h"
#include "core/random.h"
#include "engine/degradations.h"
#include "engine/endpoint_figures.h"
#include "engine/endpoint_gates.h"
#include "engine/endpoint_queues.h"
#include "engine/engine_observer.h"
#include "engine/rate_limiter.h"
#include "engine/sender.h"
#include "loop/timer.h"

namespace messaging::engine {

// Of deliveries in memory, without those for silent endpoints, which have kSilentBytes. Beyond, nothing is claimed.
inline constexpr std::size_t kMaxBytesInMemory = 64u << 20;

struct DispatcherOptions {
    core::OutcomePolicy outcomes;
    core::BreakerPolicy breaker;
    std::size_t max_in_flight = 512;  // requests, all endpoints of this engine
    // Deliveries that may wait in memory, of all endpoints together (EndpointQueues::waiting_counted()). One endpoint may have
    // a quarter of this number.
    std::size_t prefetch_limit = 1024;
};

// Loop thread only. Every delivery added leaves through on_outcome exactly once, or by drop_waiting_unless().
class Dispatcher {
public:
    struct Mediator {
        std::function<void(core::Outcome)> on_outcome;
        std::function<void()> on_capacity;  // a delivery has left, or measuring has moved some: there may be capacity to claim
        std::function<void()> on_held_capacity;           // an endpoint whose messages are held can take more of them
        std::function<void(EndpointFinding)> on_finding;  // the other engines are to know it
    };

    Dispatcher(Sender& sender, RateLimitStore& rates, loop::TimerFactory& timers, const core::Clock& clock, core::Random& random,
               EngineObserver& observer, DispatcherOptions options, Mediator mediator);

    void set_endpoints(const std::vector<core::Endpoint>& endpoints);
    bool knows(core::EndpointId endpoint) const { return endpoints_.contains(endpoint); }

    void add(std::vector<core::Delivery> deliveries);
    // Free places in memory for ready and due messages. 0 while more than half of them are used.
    std::size_t capacity() const;
    // How many held messages to claim: for each endpoint that this engine is sending to, and for each other endpoint.
    std::vector<core::EndpointCapacity> held_capacities() const;
    int other_held_capacity() const;

    // Whether a receiver has answered a request of this engine within the last hour, by any status. While none does, the fault
    // may be the service's own: its network, its name server, its authorities for TLS.
    bool receivers_answer() const;

    // What was counted since the last call.
    std::vector<EndpointFigures> take_figures();

    // Paused: nothing is started; what is in flight goes on.
    void set_paused(bool paused);
    // Releases every delivery that was not started.
    void release_waiting();
    // Releases the deliveries in flight too; answers that still come are ignored. For the end of a shutdown only.
    void release_in_flight();
    // Forgets waiting deliveries whose claim another instance has reclaimed.
    void drop_waiting_unless(const std::function<bool(core::ClaimId)>& still_ours);

    // All deliveries that wait or are in flight.
    std::vector<core::MessageId> messages_in_memory() const;

    std::size_t in_flight() const { return queues_.in_flight(); }
    std::size_t waiting() const { return queues_.waiting(); }

private:
    void pump();
    void on_answer(std::uint64_t flight_id, const core::AttemptResult& result);
    void release(const std::vector<core::Delivery>& deliveries);
    bool is_full() const;
    // With one endpoint no other message waits behind it, so nothing is held.
    bool may_hold() const { return endpoints_.size() > 1; }
    void follow_state(const core::Endpoint& read, const core::Endpoint* before);
    void note_answer();
    void judge(const core::Delivery& delivery, const core::AttemptResult& result);
    void on_gone(core::EndpointId id);
    void set_rate(core::EndpointId id, std::optional<int> rate);
    void update_budget(core::EndpointId id);
    void update_budgets();
    void on_moments(const std::vector<core::EndpointId>& endpoints);
    void update_gate(core::EndpointId id);
    void open_gates();
    void await_opening(core::MonoTime at, std::chrono::milliseconds at_least);
    bool is_kept_back(core::EndpointId id) const;
    void hold_for_kept_back();
    core::OutcomePolicy policy_for(core::EndpointId id) const;
    std::size_t max_for_one() const;
    std::size_t max_held() const;
    void defer(const core::Delivery& delivery, const char* why);
    void hold(const core::Delivery& delivery);
    void leave(core::Outcome outcome);
    void start_measuring();
    void measure();
    void on_local_fault(const std::string& detail);

    Sender& sender_;
    const core::Clock& clock_;
    core::Random& random_;
    EngineObserver& observer_;
    DispatcherOptions options_;
    Mediator mediator_;
    EndpointQueues queues_;
    FigureCollector figures_;
    EndpointGates gates_;
    Degradations degradations_;
    RateLimiter limiter_;
    std::unordered_set<core::EndpointId> budgeted_;  // a rate limit allows them requests that have not begun
    std::unordered_map<core::EndpointId, core::Endpoint> endpoints_;
    std::vector<core::EndpointId> unusable_;
    std::unordered_map<std::uint64_t, core::Delivery> flights_;
    std::uint64_t next_flight_ = 1;
    std::unique_ptr<loop::Timer> measure_timer_;  // armed while anything waits or is in flight
    std::unique_ptr<loop::Timer> fault_timer_;
    std::unique_ptr<loop::Timer> gate_timer_;    // the next gate opens
    core::MonoTime next_opening_{};              // when gate_timer_ fires, while it is armed
    std::optional<core::MonoTime> last_answer_;  // of any receiver
    core::MonoTime answering_since_{};           // no hour without an answer since
    bool paused_ = false;
    bool pumping_ = false;
};

}  // namespace messaging::engine
