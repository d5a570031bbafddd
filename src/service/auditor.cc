// One round after the other, with a rest between.
#include "service/auditor.h"

#include <algorithm>
#include <utility>

namespace messaging::service {

Auditor::Auditor(AuditStore& store, loop::TimerFactory& timers, const core::Clock& clock, core::Random& random, Mediator mediator)
    : store_(store),
      clock_(clock),
      random_(random),
      mediator_(std::move(mediator)),
      timer_(timers.make_timer([this] { look(); })) {}

void Auditor::start() { timer_->start(std::chrono::milliseconds(0)); }

void Auditor::look() {
    store_.audit(kAuditRows, [this, began = clock_.mono()](const core::Result<AuditRound>& round) {
        if (round) {
            mediator_.on_round(round->found);
        } else {
            mediator_.on_trouble(round.error());
        }
        rest(round && round->more, began);
    });
}

void Auditor::rest(bool more, core::MonoTime began) {
    using std::chrono::milliseconds;
    const auto cost = std::chrono::ceil<milliseconds>(clock_.mono() - began);
    const double jittered = static_cast<double>(kAuditPeriod.count()) * (0.9 + 0.2 * random_.next_unit());
    const auto period = more ? milliseconds(0) : milliseconds(static_cast<milliseconds::rep>(jittered));
    timer_->start(std::max(period, cost * kAuditRest));
}

}  // namespace messaging::service
