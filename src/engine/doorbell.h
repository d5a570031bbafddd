// Doorbell: decides when an engine polls for ready messages, and when it sleeps until a NOTIFY. While no engine sleeps, inserters
// send no NOTIFY. Does I/O only through its port.
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

inline constexpr std::chrono::milliseconds kPollPeriod{1000};  // a poll finds messages whose notification was lost
// The idle delay: the engine requests the lock this long after no more messages are ready. It is still sending the messages of
// the last polls then, and the request would compete for the CPU. The delay grows while inserters have open transactions. While
// consecutive polls find messages, the engine polls again after this delay and does not request the lock.
inline constexpr std::chrono::milliseconds kIdleDelayMin{1};
inline constexpr std::chrono::milliseconds kIdleDelayMax{5};
inline constexpr std::chrono::milliseconds kWakePeersPeriod{100};  // between two notifications to peers, at least
// A notification may arrive this long after its row became visible.
inline constexpr std::chrono::milliseconds kNotificationGrace{250};

// Loop thread only. Awake → idle delay → request the lock → poll once more → asleep. The poll finds every row that was committed
// before the lock was granted; every inserter after it sends a notification. docs/claim-protocol.md defines the doorbell.
class Doorbell {
public:
    enum class State {
        kAwake,         // polls; after the idle delay it polls again or requests the lock
        kAsking,        // has requested the lock
        kInterrupted,   // the same, and a notification has come meanwhile: it will not sleep
        kLastPoll,      // holds the lock and polls once more
        kAsleep,        // holds the lock and waits for a notification
        kAsleepBeside,  // waits for a notification; another engine holds the lock
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
    // No more messages are ready, and no notification has come since.
    void on_idle();
    // A poll has found messages. `by_poll`: it was poll_all, without a notification.
    void on_found(std::size_t messages, bool by_poll);
    // A notification has come, or this engine must request the lock again.
    void on_notification();
    // More messages are ready than this engine has capacity for.
    void on_overload();
    // The engine stops claiming. It releases the lock, so inserters do not notify it.
    void leave();
    // The listen session is lost, and the lock with it.
    void on_session_lost();

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
    std::unique_ptr<loop::Timer> ask_timer_;     // the idle delay
    std::unique_ptr<loop::Timer> grace_timer_;   // waits for the notification of messages that the poll has found
    State state_ = State::kAwake;
    bool found_ = false;       // the last poll has found messages
    int hits_in_a_row_ = 0;    // polls that have found messages
    std::size_t finds_ = 0;    // messages that the 1 s poll has found while the engine slept
    std::uint64_t round_ = 0;  // an answer to an earlier round is stale
    std::chrono::milliseconds idle_delay_{kIdleDelayMin};
    core::MonoTime next_wake_peers_{};
};

}  // namespace messaging::engine
