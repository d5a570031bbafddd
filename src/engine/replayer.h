// Replayer: runs the rounds of the replays. A replay sends many messages again, in the background.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "core/random.h"
#include "core/result.h"
#include "engine/replay_rounds.h"
#include "loop/timer.h"

namespace messaging::engine {

inline constexpr std::chrono::milliseconds kReplayRetry{5'000};  // after a failed round

// Loop thread only.
class Replayer {
public:
    struct Mediator {
        std::function<void(const ReplayRound&)> on_round;
        std::function<void(const core::Error&)> on_error;
    };
    Replayer(ReplayRounds& rounds, loop::TimerFactory& timers, core::Random& random, Mediator mediator);

    // Runs a round at once, and each further one when the round before says. Call it whenever the session has come up.
    void start();

private:
    void run_round();

    ReplayRounds& rounds_;
    core::Random& random_;
    Mediator mediator_;
    std::unique_ptr<loop::Timer> timer_;
};

}  // namespace messaging::engine
