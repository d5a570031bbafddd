// Auditor: has the database looked through, now and then, for messages that came past its trigger.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>

#include "core/clock.h"
#include "core/random.h"
#include "loop/timer.h"
#include "service/queue_store.h"

namespace messaging::service {

inline constexpr std::chrono::milliseconds kAuditPeriod{15'000};  // a row is looked at in the second round after its commit
inline constexpr int kAuditRows = 100'000;                        // read in one round
inline constexpr int kAuditRest = 50;  // times a round's cost, before the next: the audit takes at most 2 % of one core

struct AuditRound {
    std::size_t found = 0;  // had come past the trigger, and are queued now
    bool more = false;      // rows are left to be read at once
};

// A port; repository implements it.
class AuditStore {
public:
    virtual ~AuditStore() = default;
    virtual void audit(int max_rows, Completion<AuditRound> done) = 0;
};

// Loop thread only. Several processes on one database take turns: whoever comes second while one is at work finds nothing to do.
class Auditor {
public:
    struct Mediator {
        std::function<void(std::size_t found)> on_round;
        std::function<void(const core::Error&)> on_trouble;
    };
    Auditor(AuditStore& store, loop::TimerFactory& timers, const core::Clock& clock, core::Random& random, Mediator mediator);

    // Looks at once, and then from time to time: whenever its session has come up.
    void start();

private:
    void look();
    void rest(bool more, core::MonoTime began);

    AuditStore& store_;
    const core::Clock& clock_;
    core::Random& random_;
    Mediator mediator_;
    std::unique_ptr<loop::Timer> timer_;
};

}  // namespace messaging::service
