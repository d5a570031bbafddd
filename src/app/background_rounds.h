// BackgroundRounds: runs reconcile and the replays, on one PostgreSQL session of their own.
#pragma once

#include <string>

#include "app/config.h"
#include "core/clock.h"
#include "core/random.h"
#include "engine/reconciler.h"
#include "engine/replayer.h"
#include "loop/event_loop.h"
#include "pg/connection.h"
#include "repository/reconcile_store.h"
#include "repository/replay_rounds.h"
#include "telemetry/logging.h"
#include "telemetry/metrics.h"

namespace messaging::app {

// Loop thread only. Everything that it is given must outlive it.
class BackgroundRounds {
public:
    BackgroundRounds(loop::EventLoop& loop, const core::Clock& clock, core::Random& random, const Config& config,
                     telemetry::Metrics& metrics);

    // Connects; the rounds begin when the session is up. Call it once, when the schema has been checked.
    void start() { session_.start(); }
    // Why the last round of reconcile failed; empty when it went well.
    const std::string& reconcile_error() const { return reconcile_error_; }

private:
    pg::Connection::Events session_events();
    engine::Reconciler::Mediator reconcile_events();
    engine::Replayer::Mediator replay_events();

    telemetry::Metrics& metrics_;
    telemetry::DependencyLog reconcile_errors_;
    telemetry::DependencyLog replay_errors_;
    std::string reconcile_error_;
    pg::Connection session_;
    repository::PgReconcileStore reconcile_store_;
    engine::Reconciler reconciler_;
    repository::PgReplayRounds replay_rounds_;
    engine::Replayer replayer_;
};

}  // namespace messaging::app
