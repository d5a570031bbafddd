// The transitions between awake and asleep.
#include "engine/doorbell.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "core/jitter.h"

namespace messaging::engine {

Doorbell::Doorbell(DoorbellStore& store, loop::TimerFactory& timers, const core::Clock& clock, core::Random& random,
                   EngineObserver& observer, Mediator mediator)
    : store_(store),
      clock_(clock),
      random_(random),
      observer_(observer),
      mediator_(std::move(mediator)),
      period_timer_(timers.make_timer([this] { poll_all(); })),
      ask_timer_(timers.make_precise_timer([this] { after_a_while(); })),
      grace_timer_(timers.make_timer([this] { observer_.on_missed_notifications(std::exchange(finds_, 0)); })) {}

bool Doorbell::may_follow(State from, State to) {
    switch (from) {
        case State::kAwake: return to == State::kAsking;
        case State::kAsking: return to != State::kAsking && to != State::kAsleep;
        case State::kInterrupted: return to == State::kAwake || to == State::kLastPoll || to == State::kAsleepBeside;
        case State::kLastPoll: return to == State::kAsleep || to == State::kAwake;
        case State::kAsleep:
        case State::kAsleepBeside: break;
    }
    return to == State::kAwake;
}

// Leaving the states that hold the lock releases it.
void Doorbell::enter(State next) {
    assert(may_follow(state_, next));
    const bool held = holds_lock();
    state_ = next;
    if (!held || holds_lock()) return;
    store_.wake_up([this](const core::Result<core::Unit>& result) {
        report(observer_, kDoorbellOperation, result);  // a failure ends the session, and the lock with it
    });
}

void Doorbell::join() {
    if (!period_timer_->armed()) period_timer_->start(core::jittered(kPollPeriod, 0.9, 1.1, random_));
}

void Doorbell::poll_all() {
    join();
    mediator_.poll_all();
}

void Doorbell::on_idle() {
    hits_in_a_row_ = std::exchange(found_, false) ? hits_in_a_row_ + 1 : 0;
    if (state_ == State::kLastPoll) {
        enter(State::kAsleep);
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
    enter(State::kAsking);
    store_.try_to_sleep([this, round = round_](core::Result<SleepAnswer> answer) {
        if (round == round_) on_answer(std::move(answer));
    });
}

void Doorbell::on_answer(core::Result<SleepAnswer> answer) {
    report(observer_, kDoorbellOperation, answer);
    if (!answer) {
        enter(State::kAwake);  // after the next poll it requests the lock again
        return;
    }
    const bool interrupted = state_ == State::kInterrupted;
    switch (answer.value()) {
        case SleepAnswer::kGranted:
            idle_delay_ = kIdleDelayMin;
            enter(State::kLastPoll);
            if (interrupted) enter(State::kAwake);
            mediator_.poll();
            break;
        case SleepAnswer::kInsertersOpen:
            idle_delay_ = std::min(idle_delay_ * 2, kIdleDelayMax);
            enter(State::kAwake);
            mediator_.poll();
            break;
        case SleepAnswer::kHeldByPeer: enter(State::kAsleepBeside); break;
    }
}

void Doorbell::on_found(std::size_t messages, bool by_poll) {
    idle_delay_ = kIdleDelayMin;
    found_ = true;
    if (by_poll && state_ == State::kAsleep) {
        finds_ += messages;
        grace_timer_->start(kNotificationGrace);
    }
    wake();
}

void Doorbell::on_notification() {
    finds_ = 0;
    grace_timer_->stop();
    interrupt();
    wake();
}

void Doorbell::interrupt() {
    if (state_ == State::kAsking) enter(State::kInterrupted);
}

void Doorbell::wake() {
    if (holds_lock() || state_ == State::kAsleepBeside) enter(State::kAwake);
}

void Doorbell::on_overload() {
    if (clock_.mono() < next_wake_peers_) return;
    next_wake_peers_ = clock_.mono() + kWakePeersPeriod;
    wake_peers();
}

void Doorbell::wake_peers() {
    store_.wake_peers([this](const core::Result<core::Unit>& result) { report(observer_, kDoorbellOperation, result); });
}

void Doorbell::leave() {
    period_timer_->stop();
    ask_timer_->stop();
    interrupt();
    const bool held = holds_lock();
    wake();
    if (held) wake_peers();  // a peer that sleeps without the lock must request it
}

void Doorbell::on_session_lost() {
    ++round_;
    ask_timer_->stop();
    state_ = State::kAwake;  // the lock is gone with the session
}

}  // namespace messaging::engine
