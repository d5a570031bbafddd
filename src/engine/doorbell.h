// Doorbell: the engine's half of the lock that spares inserters their NOTIFY while an engine is awake; pure but for its port.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>

#include "core/clock.h"
#include "engine/doorbell_store.h"
#include "engine/engine_observer.h"
#include "loop/timer.h"

namespace messaging::engine {

// From a look that left nothing to the question whether it may sleep. Not at once: what was just found is being sent then, and
// another session's work would stand in its way. Longer while inserters are open. Where one look after another finds something
// the question is left out, and it is the time between looks.
inline constexpr std::chrono::milliseconds kIdleDelayMin{1};
inline constexpr std::chrono::milliseconds kIdleDelayMax{5};
inline constexpr std::chrono::milliseconds kWakePeersPeriod{100};    // help is called no more often
inline constexpr std::chrono::milliseconds kNotificationGrace{250};  // a ring may come so much later than the row can be seen

// Loop thread only. Awake → drowsy → asks for the lock → looks once more → asleep. A row that was committed before the lock was
// granted is seen by the look; everybody who comes after it rings. Reasons and measurements: src/README.md.
class Doorbell {
public:
    struct Mediator {
        std::function<void()> poll;  // look for ready messages, now
    };
    Doorbell(DoorbellStore& store, loop::TimerFactory& timers, const core::Clock& clock, EngineObserver& observer,
             Mediator mediator);

    // A look has left nothing, and nobody has rung since.
    void on_idle();
    // A look has found something. `by_fallback`: only the timer had asked for it.
    void on_found(std::size_t messages, bool by_poll);
    // A notification.
    void on_notification();
    // There is more than this engine can carry.
    void on_overload();
    // The engine stops claiming: others' inserters need not ring for it.
    void leave();
    // The session is gone, and the lock with it.
    void on_session_lost();

    bool asleep() const { return state_ == State::kAsleep; }

private:
    enum class State { kAwake, kAsking, kPolling, kAsleep };
    void after_a_while();
    void ask();
    void on_answer(core::Result<SleepAnswer> answer);
    void wake();
    void wake_peers();

    DoorbellStore& store_;
    const core::Clock& clock_;
    EngineObserver& observer_;
    Mediator mediator_;
    std::unique_ptr<loop::Timer> ask_timer_;    // while drowsy
    std::unique_ptr<loop::Timer> grace_timer_;  // a find of the fallback that a ring may still explain
    State state_ = State::kAwake;
    bool held_ = false;
    bool found_ = false;       // by the last look
    int hits_in_a_row_ = 0;    // looks
    bool notified_ = false;    // while asking
    std::size_t finds_ = 0;    // messages that the fallback has found in our sleep
    std::uint64_t round_ = 0;  // an answer to an earlier round is stale
    std::chrono::milliseconds idle_delay_{kIdleDelayMin};
    core::MonoTime next_wake_peers_{};
};

}  // namespace messaging::engine
