// RoundTimer: says when the next round of background work begins. Several processes share the work, and PostgreSQL its pace.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <utility>

#include "core/jitter.h"
#include "core/random.h"
#include "core/result.h"
#include "loop/timer.h"

namespace messaging::engine {

// Loop thread only. `Round` is the answer of one round; its member `wait` is the time until the next one.
template <typename Round>
class RoundTimer {
public:
    struct Mediator {
        std::function<void(const Round&)> on_round;
        std::function<void(const core::Error&)> on_error;
    };
    struct Pace {
        std::chrono::milliseconds retry;  // after a failed round
        // Several processes wait for the same moment. Each adds a random part of this, so that they do not all come at once.
        std::chrono::milliseconds spread;
    };
    // `run_round` starts a round; its answer goes to on_answer().
    RoundTimer(loop::TimerFactory& timers, core::Random& random, Pace pace, Mediator mediator, std::function<void()> run_round)
        : random_(random), pace_(pace), mediator_(std::move(mediator)), timer_(timers.make_timer(std::move(run_round))) {}

    // Runs a round at once.
    void start() { timer_->start(std::chrono::milliseconds(0)); }
    void on_answer(const core::Result<Round>& round) {
        if (round) {
            mediator_.on_round(round.value());
            timer_->start(round->wait + core::jittered(pace_.spread, 0.0, 1.0, random_));
        } else {
            mediator_.on_error(round.error());
            timer_->start(pace_.retry);
        }
    }

private:
    core::Random& random_;
    const Pace pace_;
    Mediator mediator_;
    std::unique_ptr<loop::Timer> timer_;
};

}  // namespace messaging::engine
