// The time and the size of each round.
#include "engine/reconciler.h"

#include <algorithm>
#include <utility>

#include "core/jitter.h"

namespace messaging::engine {
namespace {

// Several processes wait for the same moment. Each adds a random part of this, so that they do not all come at once.
constexpr std::chrono::milliseconds kSpread{100};

}  // namespace

Reconciler::Reconciler(ReconcileStore& store, loop::TimerFactory& timers, core::Random& random, Mediator mediator)
    : store_(store), random_(random), mediator_(std::move(mediator)), timer_(timers.make_timer([this] { run_round(); })) {}

void Reconciler::start() { timer_->start(std::chrono::milliseconds(0)); }

void Reconciler::run_round() {
    store_.reconcile(rows_, [this](const core::Result<ReconcileRound>& round) {
        if (!round) {
            mediator_.on_error(round.error());
            if (round.error().kind == core::ErrorKind::kTimeout) rows_ = std::max(rows_ / 2, kMinReconcileRows);
            timer_->start(kReconcileRetry);
            return;
        }
        mediator_.on_round(round.value());
        rows_ = round->cost > kCostlyRound ? std::min(rows_ * 2, kMaxReconcileRows) : std::max(rows_ / 2, kReconcileRows);
        timer_->start(round->wait + core::jittered(kSpread, 0.0, 1.0, random_));
    });
}

}  // namespace messaging::engine
