// Reclaimer: watches the other instances, and reclaims the messages of those that have failed.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <vector>

#include "core/clock.h"
#include "core/random.h"
#include "engine/engine_observer.h"
#include "engine/failure_detector.h"
#include "engine/instance_store.h"
#include "loop/timer.h"

namespace messaging::engine {

inline constexpr std::chrono::milliseconds kCheckPeriod{250};
// While no instance fails: between two searches for claims of instances that have no row.
inline constexpr std::chrono::milliseconds kReclaimPeriod{1000};

// Loop thread only. Works between start() and stop(), that is while its own engine is registered.
class Reclaimer {
public:
    struct Mediator {
        std::function<core::InstanceId()> instance_id;
        std::function<void(const Reclaimed&)> on_reclaimed;
        std::function<void()> on_instance_gone;  // the instance lock of another instance has become free
    };

    // `delay`: of InstanceStore::reclaim.
    Reclaimer(InstanceStore& store, loop::TimerFactory& timers, const core::Clock& clock, core::Random& random,
              EngineObserver& observer, std::chrono::milliseconds delay, Mediator mediator);

    void start();
    void stop();

private:
    void check_instances();
    void on_samples(const std::vector<LivenessSample>& samples);
    void reclaim(std::vector<core::InstanceId> failed);
    void check_later();

    InstanceStore& store_;
    const core::Clock& clock_;
    core::Random& random_;
    EngineObserver& observer_;
    const std::chrono::milliseconds delay_;
    Mediator mediator_;
    FailureDetector detector_;
    std::unique_ptr<loop::Timer> timer_;
    core::MonoTime next_reclaim_{};
    bool counted_ = true;         // the next reclaim counts the abandonments
    std::size_t free_locks_ = 0;  // at the last check
    std::uint64_t round_ = 0;     // counts starts and stops: an answer to an earlier round is stale
};

}  // namespace messaging::engine
