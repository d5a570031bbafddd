// Reconciler: runs the rounds of reconcile. Reconcile finds messages that are unsent and in no place.
#pragma once

#include <chrono>

#include "core/random.h"
#include "engine/reconcile_store.h"
#include "engine/round_timer.h"
#include "loop/timer.h"

namespace messaging::engine {

inline constexpr int kReconcileRows = 100'000;       // rows of the walk in one round
inline constexpr int kMaxReconcileRows = 1'000'000;  // in a round after costly ones
inline constexpr int kMinReconcileRows = 1'000;      // in a round after rounds that did not finish
// A round reads the whole queue where it meets a message that the indexes of the places do not have. When a finished round costs
// more than this, the next one reads twice as many rows, so that more rows share that cost.
inline constexpr std::chrono::milliseconds kCostlyRound{500};
inline constexpr std::chrono::milliseconds kReconcileRetry{5'000};  // after a failed round

// Loop thread only.
class Reconciler {
public:
    using Mediator = RoundTimer<ReconcileRound>::Mediator;
    Reconciler(ReconcileStore& store, loop::TimerFactory& timers, core::Random& random, Mediator mediator);

    // Runs a round at once, and each further one when the round before says. Call it whenever the session has come up.
    void start() { timer_.start(); }

private:
    void run_round();
    void choose_rows(const core::Result<ReconcileRound>& round);

    ReconcileStore& store_;
    RoundTimer<ReconcileRound> timer_;
    int rows_ = kReconcileRows;
};

}  // namespace messaging::engine
