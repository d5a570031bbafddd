// EngineMetrics: one engine's observer. Counts in the process's Metrics, and writes the engine's log lines.
#pragma once

#include <chrono>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "core/clock.h"
#include "engine/engine_observer.h"
#include "telemetry/logging.h"
#include "telemetry/metrics.h"

namespace messaging::telemetry {

// An engine is not ready when an essential operation has failed for this long.
inline constexpr std::chrono::seconds kFailingTooLong{30};

// That engine's thread only; the registry behind it is shared.
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
    void on_degraded(engine::Degradation what, const std::string& endpoint, const std::string& reason) override;
    void on_recovered(engine::Degradation what, const std::string& endpoint) override;
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
