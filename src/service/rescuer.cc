// Look, judge, adopt; one call at a time.
#include "service/rescuer.h"

#include <utility>

namespace messaging::service {

Rescuer::Rescuer(PresenceStore& store, loop::TimerFactory& timers, const core::Clock& clock, core::Random& random,
                 EngineObserver& observer, Mediator mediator)
    : store_(store),
      clock_(clock),
      random_(random),
      observer_(observer),
      mediator_(std::move(mediator)),
      timer_(timers.make_timer([this] { look(); })) {}

void Rescuer::start() {
    ++round_;
    watch_.forget();
    timer_->start(std::chrono::milliseconds(0));
}

void Rescuer::stop() {
    ++round_;
    timer_->stop();
}

void Rescuer::look_again() {
    const double jittered = static_cast<double>(kLookPeriod.count()) * (0.75 + 0.5 * random_.next_unit());
    timer_->start(std::chrono::milliseconds(static_cast<std::chrono::milliseconds::rep>(jittered)));
}

void Rescuer::look() {
    store_.look_at_others(mediator_.instance_id(), kSilentAfter,
                          [this, round = round_](const core::Result<std::vector<InstanceSign>>& signs) {
                              if (round != round_) return;
                              if (signs) {
                                  judge(signs.value());
                              } else {
                                  watch_.forget();
                                  observer_.on_trouble("look at others", signs.error());
                                  look_again();
                              }
                          });
}

void Rescuer::judge(const std::vector<InstanceSign>& signs) {
    DeathWatch::Verdict verdict = watch_.look(signs, clock_.mono());
    if (!verdict.hung.empty()) {
        store_.end_sessions(std::move(verdict.hung), [this](const core::Result<std::size_t>& ended) {
            if (!ended) {
                observer_.on_trouble("end hung sessions", ended.error());
            } else if (ended.value() > 0) {
                observer_.on_hung(ended.value());
            }
        });
    }
    if (verdict.dead.empty() && clock_.mono() < next_adopt_) {
        look_again();
    } else {
        adopt(std::move(verdict.dead));
    }
}

void Rescuer::adopt(std::vector<core::InstanceId> dead) {
    next_adopt_ = clock_.mono() + kAdoptPeriod;
    store_.adopt_dead(mediator_.instance_id(), mediator_.known_claims(), std::move(dead),
                      [this, round = round_](const core::Result<std::vector<AdoptedDelivery>>& adopted) {
                          if (round != round_) return;
                          if (!adopted) {
                              observer_.on_trouble("rescue", adopted.error());
                          } else if (!adopted->empty()) {
                              mediator_.on_adopted(adopted.value());
                          }
                          look_again();
                      });
}

}  // namespace messaging::service
