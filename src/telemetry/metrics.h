// Metrics: the Prometheus registry of the process. What an engine counts per message is resolved once and lock-free.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <array>
#include <chrono>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "core/attempt.h"
#include "core/clock.h"
#include "core/message.h"
#include "engine/engine_observer.h"
#include "engine/reconcile_store.h"
#include "engine/replay_rounds.h"
#include "service/control_store.h"
#include "telemetry/busiest_endpoints.h"
#include "telemetry/logging.h"

namespace messaging::telemetry {

// An engine is not ready when an essential operation has failed for this long.
inline constexpr std::chrono::seconds kFailingTooLong{30};

// Any thread.
class Metrics {
public:
    Metrics();

    void on_reconnect(engine::Dependency dependency);
    void on_redis_error();
    void on_accept_pause();
    void set_dropped_log_lines(std::size_t all);
    void on_reconcile_round(const engine::ReconcileRound& round);
    void on_replay_round(const engine::ReplayRound& round);
    void on_http_request(std::string_view method, std::string_view route, int status, std::chrono::microseconds duration);
    void on_loop_lag(const std::string& loop, std::chrono::microseconds lag);
    void set_status(const service::StatusView& status);

    // Prometheus text format 0.0.4.
    std::string text() const;

private:
    friend class EngineMetrics;
    prometheus::Registry registry_;
    std::array<prometheus::Counter*, core::kOutcomeKinds.size()> outcomes_{};  // by core::OutcomeKind; null: not a delivery's own
    std::array<prometheus::Counter*, 7> status_classes_{};                     // none, 1xx … 5xx, other
    std::array<prometheus::Counter*, core::kAttemptFaults.size()> faults_{};   // by core::AttemptFault; null: kNone
    BusiestEndpoints busiest_;
    prometheus::Histogram& attempt_seconds_;
    prometheus::Histogram& insert_to_sent_seconds_;
    prometheus::Histogram& claim_seconds_;
    prometheus::Histogram& claim_size_;
    prometheus::Histogram& record_seconds_;
    prometheus::Counter& connections_;
    prometheus::Counter& recorded_;
    prometheus::Counter& receipts_;
    prometheus::Counter& reclaimed_;
    prometheus::Counter& dead_lettered_;
    prometheus::Counter& late_outcomes_;
    prometheus::Counter& kept_;
    prometheus::Counter& not_in_memory_;
    prometheus::Counter& locked_;
    prometheus::Counter& ended_sessions_;
    prometheus::Counter& missed_notifications_;
    prometheus::Counter& reconciled_;
    prometheus::Gauge& reconcile_walk_;
    prometheus::Counter& replayed_;
    prometheus::Gauge& replays_running_;
    prometheus::Counter& redis_errors_;
    prometheus::Counter& accept_pauses_;
    prometheus::Counter& dropped_log_lines_;
    prometheus::Gauge& in_flight_;
    prometheus::Gauge& waiting_;
    prometheus::Gauge& pending_;
    prometheus::Gauge& scheduled_;
    prometheus::Gauge& held_;
    prometheus::Gauge& dead_;
    std::array<prometheus::Gauge*, service::kShownEndpointStates.size()> endpoint_states_{};
    prometheus::Gauge& oldest_pending_seconds_;
    prometheus::Gauge& running_;
    prometheus::Family<prometheus::Counter>& dependency_errors_;
    prometheus::Family<prometheus::Counter>& reconnects_;
    prometheus::Family<prometheus::Counter>& http_requests_;
    prometheus::Histogram& http_seconds_;
    prometheus::Family<prometheus::Gauge>& loop_lag_;
    prometheus::Family<prometheus::Gauge>& degraded_;
};

// One engine's observer. That engine's thread only; the registry behind it is shared.
class EngineMetrics : public engine::EngineObserver {
public:
    // `name`: what its log lines call the engine.
    EngineMetrics(Metrics& metrics, const core::Clock& clock, const std::string& name)
        : metrics_(metrics), clock_(clock), subject_("engine " + name + ", ") {}
    // Any thread: the work that has not succeeded for kFailingTooLong, with the reason; empty when all is well.
    std::string failing() const;
    ~EngineMetrics() override { EngineMetrics::on_in_flight(0, 0); }

    void on_claim(std::size_t deliveries, std::chrono::microseconds duration) override;
    void on_outcome(const core::Outcome& outcome) override;
    void on_attempt(const core::AttemptResult& result) override;
    void on_figures(const std::vector<engine::EndpointFigures>& figures) override;
    void on_delivered(double seconds_since_insert) override;
    void on_recorded(std::size_t outcomes, std::chrono::microseconds duration) override;
    void on_in_flight(std::size_t in_flight, std::size_t waiting) override;
    void on_receipts(std::size_t written) override;
    void on_reclaimed(std::size_t messages) override;
    void on_dead_lettered(std::size_t messages) override;
    void on_late_outcomes(std::size_t outcomes) override;
    void on_kept(std::size_t messages) override;
    void on_not_in_memory(std::size_t messages) override;
    void on_locked(std::size_t outcomes) override;
    void on_ended_sessions(std::size_t sessions) override;
    void on_missed_notifications(std::size_t messages) override;
    void on_degraded(const std::string& what, const std::string& reason) override;
    void on_recovered(const std::string& what) override;
    void on_error(const char* what, const core::Error& error) override;
    void on_success(const char* what) override;

private:
    Metrics& metrics_;
    const core::Clock& clock_;
    const std::string subject_;                                            // the beginning of its log lines
    std::map<std::string, DependencyLog, std::less<>> dependency_errors_;  // one line per change of state
    struct Failure {
        core::MonoTime since;
        std::string reason;
        bool told = false;  // at level error
    };
    core::MonoTime next_dead_letter_line_{};
    std::size_t dead_lettered_untold_ = 0;  // since the last line about them
    mutable std::mutex failures_mutex_;
    std::map<std::string, Failure, std::less<>> failures_;  // of the work that an engine must get done
    std::size_t in_flight_ = 0;                             // this engine's share of the gauges, which are sums
    std::size_t waiting_ = 0;
};

}  // namespace messaging::telemetry
