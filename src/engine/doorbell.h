// Doorbell: when to look for ready messages, and when to sleep until a NOTIFY; the engine's side of the lock that spares
// inserters their NOTIFY while no engine sleeps. No I/O but through its port.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>

#include "core/clock.h"
#include "core/random.h"
#include "engine/doorbell_store.h"
#include "engine/engine_observer.h"
#include "loop/timer.h"

namespace messaging::engine {

inline constexpr std::chrono::milliseconds kPollPeriod{1000};  // a message whose notification was lost is found within it
// The pause between the moment when nothing more is ready and the request for the lock. The engine is still sending then what the
// last polls have found, and the request would compete with that for the CPU. The pause grows while inserters are open. While
// consecutive polls find messages, the lock is not requested, and this is the pause between polls.
inline constexpr std::chrono::milliseconds kIdleDelayMin{1};
inline constexpr std::chrono::milliseconds kIdleDelayMax{5};
inline constexpr std::chrono::milliseconds kWakePeersPeriod{100};  // peers are woken at most once in this time
// A notification may arrive this long after its row became visible.
inline constexpr std::chrono::milliseconds kNotificationGrace{250};

// Loop thread only. Awake → pause → request the lock → poll once more → asleep. The poll finds every row that was committed
// before the lock was granted; every inserter after it sends a notification. docs/claim-protocol.md defines the doorbell.
class Doorbell {
public:
    enum class State {
        kAwake,         // polls; after a pause it polls again or asks
        kAsking,        // the lock is requested
        kInterrupted,   // the same, and a notification has come meanwhile: a granted lock is not slept on
        kLastPoll,      // holds the lock, and polls once more
        kAsleep,        // holds the lock
        kAsleepBeside,  // another engine holds the lock
    };
    static bool may_follow(State from, State to);

    struct Mediator {
        std::function<void()> poll;      // claims ready messages now
        std::function<void()> poll_all;  // claims ready and due messages now; kPollPeriod has passed
    };
    Doorbell(DoorbellStore& store, loop::TimerFactory& timers, const core::Clock& clock, core::Random& random,
             EngineObserver& observer, Mediator mediator);

    // The engine claims: from now on it polls once in kPollPeriod at least.
    void join();
    // Nothing more is ready, and no notification has come since.
    void on_idle();
    // A poll has found something. `by_poll`: only poll_all had asked for it.
    void on_found(std::size_t messages, bool by_poll);
    // A notification.
    void on_notification();
    // More messages are ready than this engine has capacity for.
    void on_overload();
    // The engine stops claiming: inserters need not notify it.
    void leave();
    // The session is gone, and the lock with it.
    void on_session_lost();

    bool asleep() const { return state_ == State::kAsleep || state_ == State::kAsleepBeside; }

private:
    bool holds_lock() const { return state_ == State::kLastPoll || state_ == State::kAsleep; }
    void enter(State next);
    void poll_all();
    void after_a_while();
    void ask();
    void on_answer(core::Result<SleepAnswer> answer);
    void interrupt();
    void wake();
    void wake_peers();

    DoorbellStore& store_;
    const core::Clock& clock_;
    core::Random& random_;
    EngineObserver& observer_;
    Mediator mediator_;
    std::unique_ptr<loop::Timer> period_timer_;  // armed = joined
    std::unique_ptr<loop::Timer> ask_timer_;     // the pause before the lock is requested
    std::unique_ptr<loop::Timer> grace_timer_;   // waits for the notification of messages that the poll has found
    State state_ = State::kAwake;
    bool found_ = false;       // by the last poll
    int hits_in_a_row_ = 0;    // polls
    std::size_t finds_ = 0;    // messages that the 1 s poll has found while the engine slept
    std::uint64_t round_ = 0;  // an answer to an earlier round is stale
    std::chrono::milliseconds idle_delay_{kIdleDelayMin};
    core::MonoTime next_wake_peers_{};
};

}  // namespace messaging::engine
