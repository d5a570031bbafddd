// Metrics: the Prometheus registry of the process. What an engine counts per message is resolved once and lock-free.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <array>
#include <chrono>
#include <functional>
#include <string>
#include <string_view>

#include "core/attempt.h"
#include "core/message.h"
#include "engine/engine_observer.h"
#include "engine/reconcile_store.h"
#include "engine/replay_rounds.h"
#include "service/control_store.h"
#include "telemetry/busiest_endpoints.h"

namespace messaging::telemetry {

inline double seconds(std::chrono::microseconds duration) { return std::chrono::duration<double>(duration).count(); }

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
    std::array<prometheus::Gauge*, engine::kDegradations.size()> degraded_{};  // by engine::Degradation
};

}  // namespace messaging::telemetry
