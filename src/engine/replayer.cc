// Asks for one round after the other.
#include "engine/replayer.h"

#include <utility>

namespace messaging::engine {
namespace {

constexpr std::chrono::milliseconds kSpread{10};

}  // namespace

Replayer::Replayer(ReplayRounds& rounds, loop::TimerFactory& timers, core::Random& random, Mediator mediator)
    : rounds_(rounds), timer_(timers, random, {kReplayRetry, kSpread}, std::move(mediator), [this] { run_round(); }) {}

void Replayer::run_round() {
    rounds_.run_round([this](const core::Result<ReplayRound>& round) { timer_.on_answer(round); });
}

}  // namespace messaging::engine
