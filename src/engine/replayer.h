// Replayer: runs the rounds of the replays. A replay sends many messages again, in the background.
#pragma once

#include <chrono>

#include "core/random.h"
#include "engine/replay_rounds.h"
#include "engine/round_timer.h"
#include "loop/timer.h"

namespace messaging::engine {

inline constexpr std::chrono::milliseconds kReplayRetry{5'000};  // after a failed round

// Loop thread only.
class Replayer {
public:
    using Mediator = RoundTimer<ReplayRound>::Mediator;
    Replayer(ReplayRounds& rounds, loop::TimerFactory& timers, core::Random& random, Mediator mediator);

    // Runs a round at once, and each further one when the round before says. Call it whenever the session has come up.
    void start() { timer_.start(); }

private:
    void run_round();

    ReplayRounds& rounds_;
    RoundTimer<ReplayRound> timer_;
};

}  // namespace messaging::engine
