// The size of each round.
#include "engine/reconciler.h"

#include <algorithm>
#include <utility>

namespace messaging::engine {
namespace {

constexpr std::chrono::milliseconds kSpread{100};

}  // namespace

Reconciler::Reconciler(ReconcileStore& store, loop::TimerFactory& timers, core::Random& random, Mediator mediator)
    : store_(store), timer_(timers, random, {kReconcileRetry, kSpread}, std::move(mediator), [this] { run_round(); }) {}

void Reconciler::run_round() {
    store_.reconcile(rows_, [this](const core::Result<ReconcileRound>& round) {
        choose_rows(round);
        timer_.on_answer(round);
    });
}

void Reconciler::choose_rows(const core::Result<ReconcileRound>& round) {
    if (round) {
        rows_ = round->cost > kCostlyRound ? std::min(rows_ * 2, kMaxReconcileRows) : std::max(rows_ / 2, kReconcileRows);
    } else if (round.error().kind == core::ErrorKind::kTimeout) {
        rows_ = std::max(rows_ / 2, kMinReconcileRows);
    }
}

}  // namespace messaging::engine
