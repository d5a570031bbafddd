// The steps from awake to asleep, and back.
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
      grace_timer_(timers.make_timer([this] { observer_.on_missed_notifications(std::exchange(finds_, 0)); })) {}

void Doorbell::on_idle() {
    hits_in_a_row_ = std::exchange(found_, false) ? hits_in_a_row_ + 1 : 0;
    if (state_ == State::kPolling) {
        state_ = State::kAsleep;
    } else if (state_ == State::kAwake && !ask_timer_->armed()) {
        ask_timer_->start(idle_delay_);
    }
}

void Doorbell::after_a_while() {
    if (hits_in_a_row_ > 1) {
        mediator_.poll();
    } else {
        ask();
    }
}

void Doorbell::ask() {
    state_ = State::kAsking;
    notified_ = false;
    store_.try_to_sleep([this, round = round_](core::Result<SleepAnswer> answer) {
        if (round == round_) on_answer(std::move(answer));
    });
}

void Doorbell::on_answer(core::Result<SleepAnswer> answer) {
    state_ = State::kAwake;
    if (!answer) {
        observer_.on_error("doorbell", answer.error());  // the fallback's next look asks again
        return;
    }
    switch (answer.value()) {
        case SleepAnswer::kGranted:
            held_ = true;
            idle_delay_ = kIdleDelayMin;
            if (notified_) {
                wake();
            } else {
                state_ = State::kPolling;
            }
            mediator_.poll();
            break;
        case SleepAnswer::kInsertersOpen:
            idle_delay_ = std::min(idle_delay_ * 2, kIdleDelayMax);
            mediator_.poll();
            break;
        case SleepAnswer::kHeldByPeer: state_ = State::kAsleep; break;
    }
}

void Doorbell::on_found(std::size_t messages, bool by_poll) {
    idle_delay_ = kIdleDelayMin;
    found_ = true;
    if (by_poll && held_ && state_ == State::kAsleep) {
        finds_ += messages;
        grace_timer_->start(kNotificationGrace);
    }
    wake();
}

void Doorbell::on_notification() {
    finds_ = 0;
    grace_timer_->stop();
    notified_ = true;
    wake();
}

void Doorbell::wake() {
    if (state_ != State::kAsking) state_ = State::kAwake;
    if (!std::exchange(held_, false)) return;
    store_.wake_up([this](const core::Result<core::Unit>& result) {
        if (!result) observer_.on_error("doorbell", result.error());  // the session goes, and the lock with it
    });
}

void Doorbell::on_overload() {
    if (clock_.mono() < next_wake_peers_) return;
    next_wake_peers_ = clock_.mono() + kWakePeersPeriod;
    wake_peers();
}

void Doorbell::wake_peers() {
    store_.wake_peers([this](const core::Result<core::Unit>& result) {
        if (!result) observer_.on_error("doorbell", result.error());
    });
}

void Doorbell::leave() {
    ask_timer_->stop();
    notified_ = true;  // an answer that is on its way is not slept on
    const bool held = held_;
    wake();
    if (held) wake_peers();  // somebody who sleeps without the lock must ask for it
}

void Doorbell::on_session_lost() {
    ++round_;
    ask_timer_->stop();
    held_ = false;
    state_ = State::kAwake;
}

}  // namespace messaging::engine
