// Engine: one claiming-and-sending loop: wake -> claim -> queues -> send -> outcome -> record -> receipt.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/clock.h"
#include "core/random.h"
#include "engine/claimer.h"
#include "engine/dispatcher.h"
#include "engine/doorbell.h"
#include "engine/doorbell_store.h"
#include "engine/endpoint_figures.h"
#include "engine/endpoint_reader.h"
#include "engine/endpoint_reporter.h"
#include "engine/endpoint_state_store.h"
#include "engine/engine_observer.h"
#include "engine/instance_store.h"
#include "engine/open_claims.h"
#include "engine/rate_limit_store.h"
#include "engine/receipt_backlog_store.h"
#include "engine/receipt_relay.h"
#include "engine/reclaimer.h"
#include "engine/recorder.h"
#include "engine/sender.h"
#include "loop/timer.h"

namespace messaging::engine {

inline constexpr std::chrono::milliseconds kHeartbeatPeriod{2000};  // between two updates of the instance's row

struct EngineOptions {
    std::string name;           // shown in /status
    std::string session_tag;    // InstanceStore::register_instance
    int max_claim = kMaxClaim;  // messages in one claim
    DispatcherOptions dispatch;
};

struct EnginePorts {
    ClaimStore& claims;
    RecordStore& records;
    EndpointStore& endpoints;
    EndpointFiguresStore& figures;
    EndpointStateStore& endpoint_states;
    RateLimitStore& rates;
    InstanceStore& instances;
    DoorbellStore& doorbell;
    ReceiptBacklogStore& backlog;
    ReceiptLog& receipts;
    Sender& sender;
};

// Loop thread only. The owner tells it what its sessions do; it never touches a socket.
//
// When the listen session comes up, the engine registers as a new instance. It moves its claims to the new instance, except those
// that another instance has reclaimed. It then reads the service state and the endpoints, and is active. When the listen session
// is lost, the engine starts nothing new, because another engine may conclude that this one has failed; requests in flight finish
// and are recorded.
class Engine {
public:
    Engine(EnginePorts ports, loop::TimerFactory& timers, const core::Clock& clock, core::Random& random,
           EngineObserver& observer, EngineOptions options);

    void on_listen_session_up();
    void on_listen_session_down();
    void on_claim_session_up();
    void on_record_session_up();
    void on_ready();            // notification: messages are ready
    void on_due();              // notification: messages are due that nobody expects
    void on_control_changed();  // notification: service state or endpoints changed

    // Stops claiming, releases what was not started, lets what is in flight finish until `deadline`, releases the rest,
    // records, waits for the receipts that Redis has been given, unregisters, and then calls `done` once. Receipts that Redis
    // refuses, or has not confirmed by `deadline`, stay in the backlog for another engine. While PostgreSQL cannot be reached,
    // the engine gives up at twice the deadline: messages without a recorded outcome stay in the ledger, and another engine
    // reclaims them.
    void start_shutdown(std::chrono::milliseconds deadline, std::function<void(bool clean)> done);

    // The registration of the engine as an instance.
    enum class Phase {
        kOffline,       // no listen session
        kRegistering,   // has a listen session, and no instance row yet
        kMovingClaims,  // is a new instance, and the older one's claims are on their way to it
        kActive,        // is an instance that may claim, if the service runs
    };
    static bool may_follow(Phase from, Phase to);

private:
    enum class Shutdown { kNone, kDraining, kDeadlinePassed, kDone };

    bool shutting_down() const { return shutdown_ != Shutdown::kNone; }
    void enter(Phase next);
    void register_anew();
    void on_registered();
    void move_claims();
    void become_active();
    void read_control();
    void read_state();
    void on_endpoints_read(const core::Result<std::vector<core::Endpoint>>& endpoints);
    void on_endpoints_awaited(std::vector<core::Delivery> deliveries);
    void dispatch(std::vector<core::Delivery> deliveries);
    void hold(const std::vector<core::Delivery>& deliveries);
    std::vector<core::EndpointCapacity> held_capacities() const;
    void set_running(bool running);
    void wake();
    void update_activity();
    void heartbeat();
    void on_row_gone();
    void write_figures();
    std::vector<core::MessageId> messages_in_memory() const;
    void on_reclaimed(const Reclaimed& reclaimed);
    void on_claim_saw_stop();
    void add_claimed(std::vector<core::Delivery> deliveries);
    void shutdown_step();
    void finish_shutdown(bool clean);

    InstanceStore& instances_;
    EndpointFiguresStore& figures_;
    EngineObserver& observer_;
    EngineOptions options_;

    OpenClaims open_claims_;
    ReceiptRelay relay_;
    Recorder recorder_;  // depends-on: open_claims_
    EndpointReader endpoints_;
    EndpointReporter endpoint_reporter_;
    Dispatcher dispatcher_;
    Claimer claimer_;
    Doorbell doorbell_;
    Reclaimer reclaimer_;

    std::unique_ptr<loop::Timer> heartbeat_timer_;
    std::unique_ptr<loop::Timer> register_timer_;
    std::unique_ptr<loop::Timer> deadline_timer_;
    std::unique_ptr<loop::Timer> shutdown_timer_;
    std::unique_ptr<loop::Timer> give_up_timer_;

    core::InstanceId instance_id_ = 0;
    core::InstanceId registered_as_ = 0;      // the instance id of this listen session; valid from kMovingClaims on
    std::uint64_t listen_session_count_ = 0;  // counts listen sessions: an answer to an earlier one is stale
    Phase phase_ = Phase::kOffline;
    Shutdown shutdown_ = Shutdown::kNone;
    bool running_ = false;  // service state
    bool endpoints_loaded_ = false;
    bool reading_state_ = false;
    bool control_changed_again_ = false;  // a control notification came while the state was being read
    std::function<void(bool)> on_shutdown_;
};

}  // namespace messaging::engine
