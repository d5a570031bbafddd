// Connects the rounds with their stores, their metrics and their log.
#include "app/background_rounds.h"

#include <spdlog/spdlog.h>

#include "app/sessions.h"

namespace messaging::app {

BackgroundRounds::BackgroundRounds(loop::EventLoop& loop, const core::Clock& clock, core::Random& random, const Config& config,
                                   telemetry::Metrics& metrics)
    : metrics_(metrics),
      reconcile_errors_("reconcile", clock),
      replay_errors_("replays", clock),
      session_(loop, random, session_options(config, SessionRole::kReconcile), session_events()),
      reconcile_store_(session_),
      reconciler_(reconcile_store_, loop, random, reconcile_events()),
      replay_rounds_(session_),
      replayer_(replay_rounds_, loop, random, replay_events()) {}

pg::Connection::Events BackgroundRounds::session_events() {
    pg::Connection::Events events;
    events.on_up = [this] {
        reconciler_.start();
        replayer_.start();
    };
    return events;
}

engine::Reconciler::Mediator BackgroundRounds::reconcile_events() {
    return {.on_round =
                [this](const engine::ReconcileRound& round) {
                    reconcile_errors_.recovered();
                    reconcile_error_.clear();
                    metrics_.on_reconcile_round(round);
                    if (round.found == 0) return;
                    spdlog::warn(
                        "queued {} messages that were unsent and in no place (inserted without the trigger, or a defect); "
                        "run messaging doctor",
                        round.found);
                },
            .on_error =
                [this](const core::Error& error) {
                    reconcile_errors_.failed(error.message);
                    reconcile_error_ = error.message;
                }};
}

engine::Replayer::Mediator BackgroundRounds::replay_events() {
    return {.on_round =
                [this](const engine::ReplayRound& round) {
                    replay_errors_.recovered();
                    metrics_.on_replay_round(round);
                },
            .on_error = [this](const core::Error& error) { replay_errors_.failed(error.message); }};
}

}  // namespace messaging::app
