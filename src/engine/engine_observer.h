// EngineObserver: what an engine reports to metrics and logs. A port; telemetry implements it. Every call is cheap and returns
// at once.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "core/attempt.h"
#include "core/message.h"
#include "core/result.h"
#include "engine/endpoint_figures.h"

namespace messaging::engine {

enum class Dependency { kClaimSession, kRecordSession, kListenSession, kRedis };

// Operations: the calls of PostgreSQL and Redis that on_error and on_success report. An engine reports both the failures and the
// successes of each operation.
inline constexpr const char* kReceiptsOperation = "receipts";        // Redis refused or lost a batch
inline constexpr const char* kBacklogOperation = "receipt backlog";  // reading or reclaiming what Redis has missed
// Work that each engine must get done: see kEssentialOperations.
inline constexpr const char* kClaimOperation = "claim";
inline constexpr const char* kClaimHeldOperation = "claim held";
inline constexpr const char* kClaimDueOperation = "claim due";
inline constexpr const char* kOrphansOperation = "reschedule orphans";
inline constexpr const char* kRecordOperation = "record";
inline constexpr const char* kReclaimOperation = "reclaim";
inline constexpr const char* kLoadEndpointsOperation = "load endpoints";
// When one of these fails for long, the engine is not ready.
inline constexpr std::array kEssentialOperations{kClaimOperation,  kClaimHeldOperation, kClaimDueOperation,     kOrphansOperation,
                                                 kRecordOperation, kReclaimOperation,   kLoadEndpointsOperation};
// These may fail for a while: the engine stays ready.
inline constexpr const char* kRecordOneOperation = "record one message";
inline constexpr const char* kLockedRowsOperation = "locked rows";  // outcomes of rows that another session has locked
inline constexpr const char* kRegisterOperation = "register";
inline constexpr const char* kMoveClaimsOperation = "move claims";
inline constexpr const char* kHeartbeatOperation = "heartbeat";
inline constexpr const char* kFiguresOperation = "figures of endpoints";
inline constexpr const char* kEndpointStateOperation = "states of endpoints";
inline constexpr const char* kRateLimitOperation = "rate limits";
inline constexpr const char* kDoorbellOperation = "doorbell";
inline constexpr const char* kDeadLetterOperation = "dead-letter";
inline constexpr const char* kCheckInstancesOperation = "check instances";
inline constexpr const char* kEndSessionsOperation = "end unresponsive sessions";

enum class Degradation {
    kStarting,    // requests: no file descriptors or no memory
    kBacklogged,  // an endpoint's messages come faster than it takes them, or were kept while it was disabled
    kFailing,     // an endpoint
    kSigning,     // an endpoint's secret cannot be opened or stored
};
inline constexpr std::array kDegradations{Degradation::kStarting, Degradation::kBacklogged, Degradation::kFailing,
                                          Degradation::kSigning};

constexpr const char* word_of(Degradation what) {
    switch (what) {
        case Degradation::kStarting: return "starting requests";
        case Degradation::kBacklogged: return "backlog of endpoint";
        case Degradation::kFailing: return "requests to endpoint";
        case Degradation::kSigning: return "signing for endpoint";
    }
    return "";
}

// For people. `endpoint`: its name, or empty.
inline std::string name_of(Degradation what, const std::string& endpoint) {
    return endpoint.empty() ? word_of(what) : std::string(word_of(what)) + " " + endpoint;
}

class EngineObserver {
public:
    virtual ~EngineObserver() = default;
    virtual void on_claim(std::size_t deliveries, std::chrono::microseconds duration) = 0;
    virtual void on_outcome(const core::Outcome& outcome) = 0;
    // A request has ended; by a fault of our own (kLocal), too.
    virtual void on_attempt(const core::AttemptResult& result) = 0;
    // What each endpoint's attempts have been since the last call.
    virtual void on_figures(const std::vector<EndpointFigures>& figures) = 0;
    // From the insert (PostgreSQL's clock) until the receiver accepted.
    virtual void on_delivered(double seconds_since_insert) = 0;
    virtual void on_recorded(std::size_t outcomes, std::chrono::microseconds duration) = 0;
    virtual void on_in_flight(std::size_t in_flight, std::size_t waiting) = 0;
    virtual void on_receipts(std::size_t written) = 0;
    // Messages of failed instances that are scheduled again, or dead-lettered.
    virtual void on_reclaimed(std::size_t messages) = 0;
    // Dead-lettered without a failed attempt: no such endpoint or event, `attempts` cannot be counted further, or PostgreSQL
    // cannot read or change the message's row.
    virtual void on_dead_lettered(std::size_t messages) = 0;
    // Outcomes that changed nothing, because their claim had ended or the message had been sent again; reconcile looks for them.
    virtual void on_late_outcomes(std::size_t outcomes) = 0;
    // Messages that were open although the engine considered their claims finished; they are scheduled again.
    virtual void on_kept(std::size_t messages) = 0;
    // Messages that the ledger names as this engine's and that are not in its memory; they are scheduled again. A defect of the
    // engine.
    virtual void on_not_in_memory(std::size_t messages) = 0;
    // Outcomes that wait because another session has locked their messages' rows.
    virtual void on_locked(std::size_t outcomes) = 0;
    // Sessions of unresponsive instances, which this engine has ended.
    virtual void on_ended_sessions(std::size_t sessions) = 0;
    // Only the 1 s poll has found them, while the engine slept with the doorbell's lock, and no notification has followed. It was
    // lost, or there was none: a peer's shutdown and messaging.notify = 'off' send none.
    virtual void on_missed_notifications(std::size_t messages) = 0;
    // Something other than a store is degraded: reported when this begins, with the reason, and when it has ended. `endpoint`:
    // its name; empty where no endpoint is concerned.
    virtual void on_degraded(Degradation what, const std::string& endpoint, const std::string& reason) = 0;
    virtual void on_recovered(Degradation what, const std::string& endpoint) = 0;
    // A store call failed. It will be tried again, except kFiguresOperation, whose figures are dropped, and
    // kEndpointStateOperation, whose findings are reported again later.
    virtual void on_error(const char* what, const core::Error& error) = 0;
    // The same call has succeeded, at least the first time after a failure.
    virtual void on_success(const char* what) = 0;
};

template <typename T>
void report(EngineObserver& observer, const char* what, const core::Result<T>& result) {
    if (result) {
        observer.on_success(what);
    } else {
        observer.on_error(what, result.error());
    }
}

}  // namespace messaging::engine
