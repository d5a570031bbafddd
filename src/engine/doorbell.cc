// Falling asleep without losing a ring.
#include "engine/doorbell.h"

#include <algorithm>
#include <utility>

namespace messaging::engine {

Doorbell::Doorbell(DoorbellStore& store, loop::TimerFactory& timers, const core::Clock& clock, EngineObserver& observer,
                   Mediator mediator)
    : store_(store),
      clock_(clock),
      observer_(observer),
      mediator_(std::move(mediator)),
      ask_timer_(timers.make_timer([this] { after_a_while(); })),
      grace_timer_(timers.make_timer([this] { observer_.on_missed_rings(std::exchange(finds_, 0)); })) {}

void Doorbell::on_idle() {
    finds_in_a_row_ = std::exchange(found_, false) ? finds_in_a_row_ + 1 : 0;
    if (state_ == State::kLooking) {
        state_ = State::kAsleep;
    } else if (state_ == State::kAwake && !ask_timer_->armed()) {
        ask_timer_->start(drowsy_);
    }
}

void Doorbell::after_a_while() {
    if (finds_in_a_row_ > 1) {
        mediator_.poll();
    } else {
        ask();
    }
}

void Doorbell::ask() {
    state_ = State::kAsking;
    rung_ = false;
    store_.try_to_sleep([this, round = round_](core::Result<SleepAnswer> answer) {
        if (round == round_) on_answer(std::move(answer));
    });
}

void Doorbell::on_answer(core::Result<SleepAnswer> answer) {
    state_ = State::kAwake;
    if (!answer) {
        observer_.on_trouble("doorbell", answer.error());  // the fallback's next look asks again
        return;
    }
    switch (answer.value()) {
        case SleepAnswer::kHeld:
            held_ = true;
            drowsy_ = kDrowsyMin;
            if (rung_) {
                wake();
            } else {
                state_ = State::kLooking;
            }
            mediator_.poll();
            break;
        case SleepAnswer::kInserters:
            drowsy_ = std::min(drowsy_ * 2, kDrowsyMax);
            mediator_.poll();
            break;
        case SleepAnswer::kAnother: state_ = State::kAsleep; break;
    }
}

void Doorbell::on_found(std::size_t messages, bool by_fallback) {
    drowsy_ = kDrowsyMin;
    found_ = true;
    if (by_fallback && held_ && state_ == State::kAsleep) {
        finds_ += messages;
        grace_timer_->start(kRingGrace);
    }
    wake();
}

void Doorbell::on_ring() {
    finds_ = 0;
    grace_timer_->stop();
    rung_ = true;
    wake();
}

void Doorbell::wake() {
    if (state_ != State::kAsking) state_ = State::kAwake;
    if (!std::exchange(held_, false)) return;
    store_.wake_up([this](const core::Result<core::Nothing>& result) {
        if (!result) observer_.on_trouble("doorbell", result.error());  // the session goes, and the lock with it
    });
}

void Doorbell::on_overload() {
    if (clock_.mono() < next_help_) return;
    next_help_ = clock_.mono() + kHelpPeriod;
    call_help();
}

void Doorbell::call_help() {
    store_.call_help([this](const core::Result<core::Nothing>& result) {
        if (!result) observer_.on_trouble("doorbell", result.error());
    });
}

void Doorbell::leave() {
    ask_timer_->stop();
    rung_ = true;  // an answer that is on its way is not slept on
    const bool held = held_;
    wake();
    if (held) call_help();  // somebody who sleeps without the lock must ask for it
}

void Doorbell::on_session_lost() {
    ++round_;
    ask_timer_->stop();
    held_ = false;
    state_ = State::kAwake;
}

}  // namespace messaging::engine
