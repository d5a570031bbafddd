// Look, judge, reclaim; one call at a time.
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
      timer_(timers.make_timer([this] { look(); })) {}

void Reclaimer::start() {
    ++round_;
    detector_.forget();
    timer_->start(std::chrono::milliseconds(0));
}

void Reclaimer::stop() {
    ++round_;
    timer_->stop();
}

void Reclaimer::look_again() { timer_->start(core::jittered(kWatchPeriod, 0.75, 1.25, random_)); }

void Reclaimer::look() {
    store_.check_instances(mediator_.instance_id(), kSilentAfter,
                           [this, round = round_](const core::Result<std::vector<LivenessSample>>& signs) {
                               if (round != round_) return;
                               report(observer_, kCheckInstancesOperation, signs);
                               if (signs) {
                                   judge(signs.value());
                               } else {
                                   detector_.forget();
                                   look_again();
                               }
                           });
}

void Reclaimer::judge(const std::vector<LivenessSample>& signs) {
    FailureDetector::Failures failures = detector_.observe(signs, clock_.mono());
    if (!failures.unresponsive.empty()) {
        store_.end_sessions(std::move(failures.unresponsive), [this](const core::Result<std::size_t>& ended) {
            report(observer_, kEndSessionsOperation, ended);
            if (ended && ended.value() > 0) observer_.on_ended_sessions(ended.value());
        });
    }
    // A sleeping instance that ends takes the doorbell's lock with it: somebody must ask for it again.
    const auto free_locks = static_cast<std::size_t>(
        std::count_if(signs.begin(), signs.end(), [](const LivenessSample& sign) { return sign.lock_free; }));
    if (free_locks > std::exchange(free_locks_, free_locks)) mediator_.on_instance_gone();
    if (failures.failed.empty() && clock_.mono() < next_reclaim_) {
        look_again();
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
                           // Some row cannot be written: the messages go on, the next time uncounted.
                           counted_ = !may_lie_in_one_row(reclaimed.error()) || !counted_;
                       }
                       if (reclaimed && reclaimed->claims > 0) {
                           counted_ = true;
                           mediator_.on_reclaimed(reclaimed.value());
                           if (reclaimed->claims == static_cast<std::size_t>(kReclaimClaims))
                               next_reclaim_ = {};  // there are more
                       }
                       look_again();
                   });
}

}  // namespace messaging::engine
