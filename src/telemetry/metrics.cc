// Names, labels and buckets of the metrics.
#include "telemetry/metrics.h"

#include <prometheus/text_serializer.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <sstream>

#include "engine/failure_detector.h"
#include "engine/reconcile_store.h"
#include "engine/replay_rounds.h"
#include "service/control_store.h"
#include "telemetry/version.h"

namespace messaging::telemetry {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;
using Buckets = prometheus::Histogram::BucketBoundaries;

const Buckets kSeconds = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60};
const Buckets kSizes = {1, 3, 10, 30, 100, 300, 1000};

constexpr std::array<const char*, 7> kStatusClasses = {"none", "1xx", "2xx", "3xx", "4xx", "5xx", "other"};

prometheus::Counter& counter(prometheus::Registry& registry, const char* name, const char* help) {
    return BuildCounter().Name(name).Help(help).Register(registry).Add({});
}
prometheus::Gauge& gauge(prometheus::Registry& registry, const char* name, const char* help) {
    return BuildGauge().Name(name).Help(help).Register(registry).Add({});
}
prometheus::Histogram& histogram(prometheus::Registry& registry, const char* name, const char* help, const Buckets& buckets) {
    return BuildHistogram().Name(name).Help(help).Register(registry).Add({}, buckets);
}

const char* name_of(engine::Dependency dependency) {
    switch (dependency) {
        case engine::Dependency::kClaimSession: return "postgres_claim";
        case engine::Dependency::kRecordSession: return "postgres_record";
        case engine::Dependency::kListenSession: return "postgres_listen";
        case engine::Dependency::kRedis: return "redis";
    }
    return "unknown";
}

// The label of messaging_deliveries_total; null for a kind that is counted by on_dead_lettered instead.
const char* name_of(core::OutcomeKind kind) {
    switch (kind) {
        case core::OutcomeKind::kDelivered: return "delivered";
        case core::OutcomeKind::kRetry: return "retry";
        case core::OutcomeKind::kDead: return "dead";
        case core::OutcomeKind::kDeferred: return "deferred";
        case core::OutcomeKind::kHeld: return "held";
        case core::OutcomeKind::kReleased: return "released";
        case core::OutcomeKind::kGivenUp: break;
    }
    return nullptr;
}

// The label of messaging_attempt_faults_total.
const char* name_of(core::AttemptFault fault) {
    switch (fault) {
        case core::AttemptFault::kNone: return nullptr;
        case core::AttemptFault::kDns: return "dns";
        case core::AttemptFault::kConnect: return "connect";
        case core::AttemptFault::kTls: return "tls";
        case core::AttemptFault::kTimeout: return "timeout";
        case core::AttemptFault::kReset: return "reset";
        case core::AttemptFault::kProtocol: return "protocol";
        case core::AttemptFault::kForbidden: return "forbidden";
        case core::AttemptFault::kInvalidRequest: return "request";
        case core::AttemptFault::kLocal: break;
    }
    return "local";
}

}  // namespace

Metrics::Metrics()
    : attempt_seconds_(
          histogram(registry_, "messaging_attempt_duration_seconds", "Histogram: one request to a receiver.", kSeconds)),
      insert_to_sent_seconds_(histogram(registry_, "messaging_insert_to_sent_seconds",
                                        "Histogram: from the insert (created_at) until the receiver accepted the message.",
                                        kSeconds)),
      claim_seconds_(
          histogram(registry_, "messaging_claim_duration_seconds", "Histogram: one claim that found messages.", kSeconds)),
      claim_size_(histogram(registry_, "messaging_claim_size_messages", "Histogram: messages in one claim.", kSizes)),
      record_seconds_(histogram(registry_, "messaging_record_duration_seconds", "Histogram: one record transaction.", kSeconds)),
      connections_(counter(registry_, "messaging_connections_total",
                           "Connections opened to receivers. Fewer than attempts, as far as connections are used again.")),
      recorded_(counter(registry_, "messaging_recorded_outcomes_total", "Outcomes committed to PostgreSQL.")),
      receipts_(counter(registry_, "messaging_receipts_total", "Receipts that Redis has confirmed.")),
      reclaimed_(counter(registry_, "messaging_reclaimed_messages_total",
                         "Messages of failed instances that were scheduled again, or dead-lettered after ten such failures.")),
      dead_lettered_(counter(registry_, "messaging_dead_lettered_messages_total",
                             "Messages dead-lettered without a failed attempt: their endpoint does not exist, their event was "
                             "deleted, their column attempts is 31999 or more, or PostgreSQL cannot read or change their rows. "
                             "messaging_reclaimed_messages_total counts those dead-lettered after ten engine failures.")),
      late_outcomes_(counter(registry_, "messaging_late_outcomes_total",
                             "Outcomes that changed nothing, because their claim had ended or the message had been sent or sent "
                             "again. Some are normal after a reclaim.")),
      kept_(counter(registry_, "messaging_kept_messages_total",
                    "Messages that were open although the engine considered their claim finished. They are sent again. More "
                    "than 0 is a defect of the service, or a trigger on messages that leaves rows unchanged.")),
      not_in_memory_(
          counter(registry_, "messaging_not_in_memory_messages_total",
                  "Messages that the ledger named as an engine's and that were not in its memory. They are sent again. More "
                  "than 0 is a defect of the service.")),
      locked_(counter(registry_, "messaging_locked_outcomes_total",
                      "Outcomes that waited because another session had locked the message's row.")),
      ended_sessions_(counter(registry_, "messaging_ended_sessions_total",
                              "Sessions of unresponsive instances that this process has ended. An instance has three or more.")),
      missed_notifications_(
          counter(registry_, "messaging_missed_notifications_total",
                  "Messages found by the poll (1 s) while this engine slept and held the doorbell's lock, and "
                  "no NOTIFY followed within 250 ms. Each waited up to 1 s; none is lost. Messages that another "
                  "instance released at its shutdown, and inserts with messaging.notify = 'off', are counted too.")),
      reconciled_(counter(registry_, "messaging_reconciled_messages_total",
                          "Messages that were unsent and in no place, and were queued by reconcile. This includes rows inserted "
                          "without the trigger.")),
      reconcile_walk_(gauge(registry_, "messaging_reconcile_walk_seconds",
                            "How long the last walk over all messages took. A message in no place is found within this time, or "
                            "within 5 min where that is longer.")),
      replayed_(counter(registry_, "messaging_replayed_messages_total",
                        "Messages that this process has put on their way again for a replay.")),
      replays_running_(gauge(registry_, "messaging_replays_running", "Replays that have not ended, of all processes.")),
      redis_errors_(counter(registry_, "messaging_redis_errors_total",
                            "Failed writes to Redis, lost sessions and failed attempts to connect.")),
      accept_pauses_(counter(registry_, "messaging_api_pauses_total",
                             "Pauses of 100 ms in which the API took no new connection, because three quarters of the file "
                             "descriptors were in use.")),
      dropped_log_lines_(counter(registry_, "messaging_dropped_log_lines_total",
                                 "Lines of the log that were dropped, because the log was not read while 1,024 waited.")),
      in_flight_(gauge(registry_, "messaging_in_flight_requests", "Requests of this process that have no answer yet.")),
      waiting_(gauge(
          registry_, "messaging_claimed_waiting_messages",
          "Messages that this process has claimed and not started to send, because their endpoint has no free request slot.")),
      pending_(gauge(registry_, "messaging_pending_messages",
                     "All instances: messages ready to be claimed. Exact up to 5,000; above that an estimate from PostgreSQL's "
                     "statistics.")),
      scheduled_(gauge(registry_, "messaging_scheduled_messages",
                       "All instances: messages that wait for a later attempt. Exact up to 5,000; above that an estimate from "
                       "PostgreSQL's statistics.")),
      held_(gauge(registry_, "messaging_held_messages",
                  "All instances: messages in the hold, because their endpoint cannot take them soon, is failing or is disabled. "
                  "Exact up to "
                  "5,000; above that an estimate from PostgreSQL's statistics.")),
      dead_(gauge(registry_, "messaging_dead_messages",
                  "All instances: dead-lettered messages. Exact up to 5,000; above that an estimate from PostgreSQL's "
                  "statistics.")),
      oldest_pending_seconds_(
          gauge(registry_, "messaging_oldest_pending_age_seconds",
                "All instances: age of the message with the lowest id among the first 5,001 in the queue; 0 when it is empty.")),
      running_(gauge(registry_, "messaging_running", "All instances: 1 while sending is on, 0 after POST /stop.")),
      dependency_errors_(
          BuildCounter()
              .Name("messaging_dependency_errors_total")
              .Help("Failed calls to PostgreSQL or Redis by operation (claim, claim due, reschedule orphans, record, heartbeat, "
                    "reclaim, register, doorbell, load endpoints, receipts, receipt backlog and others). All but figures of "
                    "endpoints are tried again.")
              .Register(registry_)),
      reconnects_(
          BuildCounter()
              .Name("messaging_reconnects_total")
              .Help("Sessions of the engines that were opened again: postgres_claim, postgres_record, postgres_listen (the "
                    "listen session), redis.")
              .Register(registry_)),
      http_requests_(BuildCounter().Name("messaging_http_requests_total").Help("Requests to the API.").Register(registry_)),
      http_seconds_(
          histogram(registry_, "messaging_http_request_duration_seconds", "Histogram: one request to the API.", kSeconds)),
      loop_lag_(
          BuildGauge()
              .Name("messaging_loop_lag_seconds")
              .Help("The longest time that a loop was late for a timer, within the last 10 to 20 s. api, or the engine's name.")
              .Register(registry_)) {
    auto& outcomes =
        BuildCounter()
            .Name("messaging_deliveries_total")
            .Help(
                "Claimed messages by what became of them: delivered; retry (failed, will be tried again); dead (failed for the "
                "last time); deferred (postponed without using an attempt); held (moved to the hold: its endpoint could not take "
                "it soon); released (had no outcome when the engine stopped: "
                "moved back to the queue, and sent again if its request was under way).")
            .Register(registry_);
    for (const auto kind : core::kOutcomeKinds) {
        if (const char* const name = name_of(kind))
            outcomes_[static_cast<std::size_t>(kind)] = &outcomes.Add({{"outcome", name}});
    }
    auto& attempts = BuildCounter()
                         .Name("messaging_attempts_total")
                         .Help(
                             "Attempts by class of HTTP status; none = no status was received, or nothing was sent because the "
                             "address is not allowed.")
                         .Register(registry_);
    for (std::size_t i = 0; i < kStatusClasses.size(); ++i)
        status_classes_[i] = &attempts.Add({{"status_class", kStatusClasses[i]}});
    auto& faults =
        BuildCounter()
            .Name("messaging_attempt_faults_total")
            .Help(
                "Requests without a status: dns (the host's name was not resolved), connect (refused or unreachable), tls, "
                "timeout, reset (the connection ended before the answer), protocol (the answer is not HTTP), forbidden "
                "(nothing was sent: the host has only addresses that are not public and that ALLOWED_NETWORKS does not "
                "contain), request (the URL or a header cannot be sent), local (a fault of the service: no attempt is used).")
            .Register(registry_);
    for (const auto fault : core::kAttemptFaults) {
        if (const char* const name = name_of(fault)) faults_[static_cast<std::size_t>(fault)] = &faults.Add({{"fault", name}});
    }
    auto& states = BuildGauge()
                       .Name("messaging_endpoints")
                       .Help("All instances: endpoints whose messages wait in the hold, by state.")
                       .Register(registry_);
    for (std::size_t i = 0; i < endpoint_states_.size(); ++i)
        endpoint_states_[i] = &states.Add({{"state", service::kShownEndpointStates[i]}});
    auto& degraded =
        BuildGauge()
            .Name("messaging_degraded")
            .Help(
                "Degradations that the engines of this process report; each engine counts each endpoint. backlog of endpoint: "
                "messages for the endpoint arrive faster than it accepts them, or were kept while it was disabled and are being "
                "sent. requests to endpoint: the endpoint is failing. signing for endpoint: a secret of the endpoint cannot be "
                "opened or stored. starting requests: no file descriptors or no memory.")
            .Register(registry_);
    for (const auto what : engine::kDegradations)
        degraded_[static_cast<std::size_t>(what)] = &degraded.Add({{"what", engine::word_of(what)}});
    for (const char* what : {"claim", "claim due", "record", "heartbeat", "reclaim", "register", "doorbell",
                             engine::kLoadEndpointsOperation, engine::kReceiptsOperation, engine::kBacklogOperation}) {
        dependency_errors_.Add({{"operation", what}});
    }
    for (const auto dependency : {engine::Dependency::kClaimSession, engine::Dependency::kRecordSession,
                                  engine::Dependency::kListenSession, engine::Dependency::kRedis}) {
        reconnects_.Add({{"session", name_of(dependency)}});
    }
    BuildGauge()
        .Name("messaging_build_info")
        .Help("Always 1.")
        .Register(registry_)
        .Add({{"version", version()}, {"revision", revision()}})
        .Set(1);
}

void Metrics::on_reconnect(engine::Dependency dependency) { reconnects_.Add({{"session", name_of(dependency)}}).Increment(); }

void Metrics::on_redis_error() { redis_errors_.Increment(); }

void Metrics::on_accept_pause() { accept_pauses_.Increment(); }

void Metrics::set_dropped_log_lines(std::size_t all) {
    dropped_log_lines_.Increment(static_cast<double>(all) - dropped_log_lines_.Value());
}

void Metrics::on_reconcile_round(const engine::ReconcileRound& round) {
    reconciled_.Increment(static_cast<double>(round.found));
    if (round.walk) reconcile_walk_.Set(static_cast<double>(round.walk->count()));
}

void Metrics::on_replay_round(const engine::ReplayRound& round) {
    replayed_.Increment(static_cast<double>(round.replayed));
    replays_running_.Set(static_cast<double>(round.running));
}

void Metrics::on_http_request(std::string_view method, std::string_view route, int status, std::chrono::microseconds duration) {
    http_requests_.Add({{"method", std::string(method)}, {"route", std::string(route)}, {"status", std::to_string(status)}})
        .Increment();
    http_seconds_.Observe(seconds(duration));
}

void Metrics::on_loop_lag(const std::string& loop, std::chrono::microseconds lag) {
    loop_lag_.Add({{"loop", loop}}).Set(seconds(lag));
}

void Metrics::set_status(const service::StatusView& status) {
    pending_.Set(static_cast<double>(status.pending.count));
    scheduled_.Set(static_cast<double>(status.scheduled.count));
    held_.Set(static_cast<double>(status.held.count));
    dead_.Set(static_cast<double>(status.dead.count));
    for (std::size_t i = 0; i < endpoint_states_.size(); ++i) endpoint_states_[i]->Set(static_cast<double>(status.endpoints[i]));
    oldest_pending_seconds_.Set(status.oldest_pending_seconds.value_or(0));
    running_.Set(status.state.running ? 1 : 0);
}

std::string Metrics::text() const {
    std::ostringstream out;
    auto families = registry_.Collect();
    for (auto& family : busiest_.collect()) families.push_back(std::move(family));
    prometheus::TextSerializer().Serialize(out, families);
    return out.str();
}

}  // namespace messaging::telemetry
