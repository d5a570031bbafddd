// Checks the instances, ends sessions and reclaims. One call of the store is under way at a time.
#include "engine/reclaimer.h"

#include <algorithm>
#include <utility>

#include "core/jitter.h"
#include "engine/instance_store.h"
#include "engine/refusal.h"

namespace messaging::engine {

Reclaimer::Reclaimer(InstanceStore& store, loop::TimerFactory& timers, const core::Clock& clock, core::Random& random,
                     EngineObserver& observer, std::chrono::milliseconds delay, Mediator mediator)
    : store_(store),
      clock_(clock),
      random_(random),
      observer_(observer),
      delay_(delay),
      mediator_(std::move(mediator)),
      timer_(timers.make_timer([this] { check_instances(); })) {}

void Reclaimer::start() {
    ++round_;
    detector_.forget();
    timer_->start(std::chrono::milliseconds(0));
}

void Reclaimer::stop() {
    ++round_;
    timer_->stop();
}

void Reclaimer::check_later() { timer_->start(core::jittered(kCheckPeriod, 0.75, 1.25, random_)); }

void Reclaimer::check_instances() {
    store_.check_instances(mediator_.instance_id(), kMuteAfter,
                           [this, round = round_](const core::Result<std::vector<LivenessSample>>& samples) {
                               if (round != round_) return;
                               report(observer_, kCheckInstancesOperation, samples);
                               if (samples) {
                                   on_samples(samples.value());
                               } else {
                                   detector_.forget();
                                   check_later();
                               }
                           });
}

void Reclaimer::on_samples(const std::vector<LivenessSample>& samples) {
    FailureDetector::Failures failures = detector_.observe(samples, clock_.mono());
    if (!failures.unresponsive.empty()) {
        store_.end_sessions(std::move(failures.unresponsive), [this](const core::Result<std::size_t>& ended) {
            report(observer_, kEndSessionsOperation, ended);
            if (ended && ended.value() > 0) observer_.on_ended_sessions(ended.value());
        });
    }
    // The instance may have held the doorbell's lock: another engine must request it.
    const auto free_locks = static_cast<std::size_t>(
        std::count_if(samples.begin(), samples.end(), [](const LivenessSample& sample) { return sample.lock_free; }));
    if (free_locks > std::exchange(free_locks_, free_locks)) mediator_.on_instance_gone();
    if (failures.failed.empty() && clock_.mono() < next_reclaim_) {
        check_later();
    } else {
        reclaim(std::move(failures.failed));
    }
}

void Reclaimer::reclaim(std::vector<core::InstanceId> failed) {
    next_reclaim_ = clock_.mono() + kReclaimPeriod;
    store_.reclaim(mediator_.instance_id(), std::move(failed), delay_, counted_,
                   [this, round = round_](const core::Result<Reclaimed>& reclaimed) {
                       if (round != round_) return;
                       report(observer_, kReclaimOperation, reclaimed);
                       if (!reclaimed) {
                           // A row cannot be written: the next reclaim schedules the messages without counting.
                           counted_ = !may_lie_in_one_row(reclaimed.error()) || !counted_;
                       }
                       if (reclaimed && reclaimed->claims > 0) {
                           counted_ = true;
                           mediator_.on_reclaimed(reclaimed.value());
                           if (reclaimed->claims == static_cast<std::size_t>(kReclaimClaims))
                               next_reclaim_ = {};  // there are more
                       }
                       check_later();
                   });
}

}  // namespace messaging::engine
