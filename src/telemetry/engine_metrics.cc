// What one engine counts, and what it says.
#include "telemetry/engine_metrics.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "engine/failure_detector.h"

namespace messaging::telemetry {
namespace {

std::size_t status_class(const core::AttemptResult& result) {
    if (result.fault != core::AttemptFault::kNone) return 0;
    const int leading = result.status / 100;
    return leading >= 1 && leading <= 5 ? static_cast<std::size_t>(leading) : 6;
}

bool is_essential(std::string_view what) {
    return std::find(engine::kEssentialOperations.begin(), engine::kEssentialOperations.end(), what) !=
           engine::kEssentialOperations.end();
}

// Any role that may insert can cause a dead letter for each row.
constexpr std::chrono::minutes kDeadLetterLinePeriod{1};

std::string subject_of(std::string_view what) {
    return what == engine::kReceiptsOperation ? "receipts (they wait in PostgreSQL, sending goes on)" : std::string(what);
}

}  // namespace

void EngineMetrics::on_claim(std::size_t deliveries, std::chrono::microseconds duration) {
    metrics_.claim_seconds_.Observe(seconds(duration));
    metrics_.claim_size_.Observe(static_cast<double>(deliveries));
}

void EngineMetrics::on_outcome(const core::Outcome& outcome) {
    if (prometheus::Counter* const counter = metrics_.outcomes_[static_cast<std::size_t>(outcome.kind)]) counter->Increment();
}

void EngineMetrics::on_attempt(const core::AttemptResult& result) {
    if (result.connections > 0) metrics_.connections_.Increment(result.connections);
    if (result.fault != core::AttemptFault::kNone) metrics_.faults_[static_cast<std::size_t>(result.fault)]->Increment();
    if (result.fault == core::AttemptFault::kLocal) return;
    metrics_.status_classes_[status_class(result)]->Increment();
    metrics_.attempt_seconds_.Observe(seconds(result.duration));
}

void EngineMetrics::on_figures(const std::vector<engine::EndpointFigures>& figures) {
    metrics_.busiest_.add(figures, clock_.mono());
}

void EngineMetrics::on_delivered(double seconds_since_insert) { metrics_.insert_to_sent_seconds_.Observe(seconds_since_insert); }

void EngineMetrics::on_recorded(std::size_t outcomes, std::chrono::microseconds duration) {
    metrics_.recorded_.Increment(static_cast<double>(outcomes));
    metrics_.record_seconds_.Observe(seconds(duration));
}

void EngineMetrics::on_in_flight(std::size_t in_flight, std::size_t waiting) {
    metrics_.in_flight_.Increment(static_cast<double>(in_flight) - static_cast<double>(in_flight_));
    metrics_.waiting_.Increment(static_cast<double>(waiting) - static_cast<double>(waiting_));
    in_flight_ = in_flight;
    waiting_ = waiting;
}

void EngineMetrics::on_receipts(std::size_t written) { metrics_.receipts_.Increment(static_cast<double>(written)); }

void EngineMetrics::on_reclaimed(std::size_t messages) {
    metrics_.reclaimed_.Increment(static_cast<double>(messages));
    spdlog::warn(
        "reclaimed {} messages of failed instances; each is sent again without counting an attempt, or dead-lettered after ten "
        "such failures",
        messages);
}

void EngineMetrics::on_dead_lettered(std::size_t messages) {
    metrics_.dead_lettered_.Increment(static_cast<double>(messages));
    dead_lettered_untold_ += messages;
    if (clock_.mono() < next_dead_letter_line_) return;
    next_dead_letter_line_ = clock_.mono() + kDeadLetterLinePeriod;
    spdlog::warn(
        "dead-lettered {} messages for another reason than a failed attempt; GET /messages?status=dead shows the reasons",
        std::exchange(dead_lettered_untold_, 0));
}

void EngineMetrics::on_late_outcomes(std::size_t outcomes) { metrics_.late_outcomes_.Increment(static_cast<double>(outcomes)); }

void EngineMetrics::on_kept(std::size_t messages) {
    metrics_.kept_.Increment(static_cast<double>(messages));
    spdlog::warn(
        "{} messages were open although the engine considered their claims finished; they are sent again (a trigger on messages "
        "that leaves rows unchanged, or a defect: please report it)",
        messages);
}

void EngineMetrics::on_not_in_memory(std::size_t messages) {
    metrics_.not_in_memory_.Increment(static_cast<double>(messages));
    spdlog::warn("{}{} messages of its claims were not in its memory; they are sent again (a defect: please report it)", subject_,
                 messages);
}

void EngineMetrics::on_locked(std::size_t outcomes) {
    metrics_.locked_.Increment(static_cast<double>(outcomes));
    dependency_errors_.try_emplace(engine::kLockedRowsOperation, subject_ + engine::kLockedRowsOperation, clock_)
        .first->second.failed(
            "another session has locked rows whose outcomes are to be recorded; they are recorded when that session releases the "
            "locks (see pg_locks)");
}

void EngineMetrics::on_ended_sessions(std::size_t sessions) {
    metrics_.ended_sessions_.Increment(static_cast<double>(sessions));
    spdlog::warn("ended {} sessions of instances that had written no heartbeat for {} s; their messages are reclaimed", sessions,
                 std::chrono::duration_cast<std::chrono::seconds>(engine::kMuteAfter).count());
}

void EngineMetrics::on_missed_notifications(std::size_t messages) {
    metrics_.missed_notifications_.Increment(static_cast<double>(messages));
    spdlog::warn(
        "{} messages were found by polling, up to 1 s late, because no notification had arrived; this is normal while another "
        "instance stops, and for inserts with messaging.notify = 'off'; otherwise check pg_notification_queue_usage()",
        messages);
}

void EngineMetrics::on_degraded(engine::Degradation what, const std::string& endpoint, const std::string& reason) {
    metrics_.degraded_[static_cast<std::size_t>(what)]->Increment();
    spdlog::warn("{}{}: {}", subject_, name_of(what, endpoint), reason);
}

void EngineMetrics::on_recovered(engine::Degradation what, const std::string& endpoint) {
    metrics_.degraded_[static_cast<std::size_t>(what)]->Decrement();
    spdlog::info("{}{}: recovered", subject_, name_of(what, endpoint));
}

void EngineMetrics::on_error(const char* what, const core::Error& error) {
    metrics_.dependency_errors_.Add({{"operation", what}}).Increment();
    if (std::string_view(what) == engine::kReceiptsOperation) metrics_.on_redis_error();
    dependency_errors_.try_emplace(what, subject_ + subject_of(what), clock_).first->second.failed(error.message);
    if (!is_essential(what)) return;
    const std::lock_guard lock(failures_mutex_);
    Failure& failure = failures_.try_emplace(what, Failure{clock_.mono(), "", false}).first->second;
    failure.reason = error.message;
    if (clock_.mono() - failure.since < kFailingTooLong || std::exchange(failure.told, true)) return;
    spdlog::error("{}{} has failed for {} s without a success, and the engine is not ready: {}", subject_, what,
                  kFailingTooLong.count(), error.message);
}

void EngineMetrics::on_success(const char* what) {
    if (const auto log = dependency_errors_.find(std::string_view(what)); log != dependency_errors_.end())
        log->second.recovered();
    const std::lock_guard lock(failures_mutex_);
    if (const auto failure = failures_.find(std::string_view(what)); failure != failures_.end()) failures_.erase(failure);
}

std::string EngineMetrics::failing() const {
    const std::lock_guard lock(failures_mutex_);
    for (const auto& [what, failure] : failures_) {
        if (clock_.mono() - failure.since >= kFailingTooLong) return what + ": " + failure.reason;
    }
    return "";
}

}  // namespace messaging::telemetry
