// Claimer: decides when to take what from the database: ready messages when rung, due ones on time, sweeps now and then.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "core/clock.h"
#include "core/random.h"
#include "loop/timer.h"
#include "service/engine_observer.h"
#include "service/queue_store.h"

namespace messaging::service {

inline constexpr int kMaxClaim = 1000;                             // messages in one claim
inline constexpr std::chrono::milliseconds kFallbackPeriod{1000};  // a lost notification is made good within it
inline constexpr std::chrono::milliseconds kSweepPeriod{5000};     // a row the floor missed is found within it

// Loop thread only. One statement is under way at a time. The floor: rows below it cannot be ready, except those that another
// engine had locked and rolled back, which is what sweeps (from 0) are for. While claims are full each goes on where the last
// one ended; what was committed behind that place is found when a claim is not full, or by the sweep. Reasons: src/README.md.
class Claimer {
public:
    struct Mediator {
        std::function<core::InstanceId()> instance_id;
        std::function<std::size_t()> room;  // how many more may be taken in now; 0 = none
        std::function<std::vector<core::ClaimId>()> known_claims;
        std::function<void(std::vector<core::Delivery>)> on_claimed;
        std::function<void()> on_stopped;  // the service state, seen by a claim, is stopped
        std::function<void()> on_idle;     // nothing more is ready, and nobody has rung since
        std::function<void(std::size_t messages, bool by_fallback)> on_found;
        std::function<void()> on_overload;  // more is ready than there is room for
    };

    Claimer(QueueStore& store, loop::TimerFactory& timers, const core::Clock& clock, core::Random& random,
            EngineObserver& observer, Mediator mediator);

    // Active = may claim. Becoming active begins with a sweep and with the return of orphaned claims.
    void set_active(bool active);
    // Something is ready (a notification).
    void ring();
    // Something has been put off for so long.
    void expect_due(std::chrono::milliseconds delay);
    // There is room again.
    void on_room();
    // The claim session is new: an answer may have been lost, and the floor with it.
    void on_session_up();

    bool idle() const { return !busy_; }
    Floor floor() const { return floor_; }

private:
    void poll();
    void tick();
    void return_orphans();
    void claim_due(int limit);
    void claim_ready(int limit, bool sweep);
    void on_ready(core::Result<ClaimBatch> result, int limit, bool sweep);
    void on_due(core::Result<ClaimBatch> result);
    bool take(core::Result<ClaimBatch>& result);
    void failed(const char* what, const core::Error& error);

    QueueStore& store_;
    const core::Clock& clock_;
    core::Random& random_;
    EngineObserver& observer_;
    Mediator mediator_;
    std::unique_ptr<loop::Timer> timer_;      // the fallback
    std::unique_ptr<loop::Timer> due_timer_;  // the next scheduled message
    Floor floor_ = 0;
    std::optional<QueuePosition> full_until_;  // the end of the last claim, which was full
    core::MonoTime next_due_{};                // when due_timer_ fires, while it is armed
    core::MonoTime next_sweep_{};
    core::MonoTime started_{};
    bool active_ = false;
    bool busy_ = false;
    bool more_ready_ = false;   // rung, or the last claim was full
    bool by_fallback_ = false;  // what is ready was asked for by the timer alone
    bool due_ = false;          // something scheduled may be due
    bool orphans_ = false;      // the ledger may hold what we do not know
};

}  // namespace messaging::service
