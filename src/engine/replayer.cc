// The times of the rounds.
#include "engine/replayer.h"

#include <utility>

#include "core/jitter.h"

namespace messaging::engine {
namespace {

// Several processes wait for the same moment. Each adds a random part of this, so that they do not all come at once.
constexpr std::chrono::milliseconds kSpread{10};

}  // namespace

Replayer::Replayer(ReplayRounds& rounds, loop::TimerFactory& timers, core::Random& random, Mediator mediator)
    : rounds_(rounds), random_(random), mediator_(std::move(mediator)), timer_(timers.make_timer([this] { run_round(); })) {}

void Replayer::start() { timer_->start(std::chrono::milliseconds(0)); }

void Replayer::run_round() {
    rounds_.run_round([this](const core::Result<ReplayRound>& round) {
        if (!round) {
            mediator_.on_error(round.error());
            timer_->start(kReplayRetry);
            return;
        }
        mediator_.on_round(round.value());
        timer_->start(round->wait + core::jittered(kSpread, 0.0, 1.0, random_));
    });
}

}  // namespace messaging::engine
