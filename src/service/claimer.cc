// When to claim, and what.
#include "service/claimer.h"

#include <algorithm>
#include <utility>

namespace messaging::service {

Claimer::Claimer(QueueStore& store, loop::TimerFactory& timers, const core::Clock& clock, core::Random& random,
                 EngineObserver& observer, Mediator mediator)
    : store_(store),
      clock_(clock),
      random_(random),
      observer_(observer),
      mediator_(std::move(mediator)),
      timer_(timers.make_timer([this] { tick(); })),
      due_timer_(timers.make_timer([this] {
          due_ = true;
          poll();
      })) {}

void Claimer::set_active(bool active) {
    if (active_ == active) return;
    active_ = active;
    timer_->stop();
    due_timer_->stop();
    if (!active) return;
    on_session_up();
    tick();
}

void Claimer::ring() {
    more_ready_ = true;
    by_fallback_ = false;
    poll();
}

void Claimer::expect_due(std::chrono::milliseconds delay) {
    const core::MonoTime at = clock_.mono() + delay;
    if (!active_ || (due_timer_->armed() && next_due_ <= at)) return;
    next_due_ = at;
    due_timer_->start(delay);
}

void Claimer::on_room() {
    if (more_ready_ || due_) poll();
}

void Claimer::on_session_up() {
    floor_ = 0;
    full_until_.reset();
    next_sweep_ = {};
    orphans_ = true;
    more_ready_ = true;
    due_ = true;
    poll();
}

void Claimer::tick() {
    const double jitter = 0.9 + 0.2 * random_.next_unit();
    const auto period = static_cast<double>(kFallbackPeriod.count()) * jitter;
    timer_->start(std::chrono::milliseconds(static_cast<std::chrono::milliseconds::rep>(period)));
    by_fallback_ = !more_ready_;
    more_ready_ = true;
    due_ = true;
    poll();
}

void Claimer::poll() {
    if (!active_ || busy_) return;
    if (!orphans_ && !due_ && !more_ready_) {
        mediator_.on_idle();
        return;
    }
    if (orphans_) {
        return_orphans();
        return;
    }
    const std::size_t room = mediator_.room();
    if (room == 0) {
        if (more_ready_ && !by_fallback_) mediator_.on_overload();
        return;
    }
    const int limit = static_cast<int>(std::min<std::size_t>(room, kMaxClaim));
    if (due_) {
        claim_due(limit);
    } else {
        claim_ready(limit, clock_.mono() >= next_sweep_);
    }
}

void Claimer::return_orphans() {
    busy_ = true;
    store_.return_orphans(mediator_.instance_id(), mediator_.known_claims(), [this](const core::Result<std::size_t>& result) {
        busy_ = false;
        if (!result) {
            failed("return orphans", result.error());
            return;
        }
        orphans_ = false;
        poll();
    });
}

void Claimer::claim_due(int limit) {
    busy_ = true;
    started_ = clock_.mono();
    store_.claim_due({mediator_.instance_id(), {}, limit},
                     [this](core::Result<ClaimBatch> result) { on_due(std::move(result)); });
}

void Claimer::claim_ready(int limit, bool sweep) {
    busy_ = true;
    more_ready_ = false;
    started_ = clock_.mono();
    const QueuePosition behind = sweep ? QueuePosition{} : full_until_.value_or(QueuePosition{floor_});
    store_.claim_ready({mediator_.instance_id(), behind, limit},
                       [this, limit, sweep](core::Result<ClaimBatch> result) { on_ready(std::move(result), limit, sweep); });
}

void Claimer::on_due(core::Result<ClaimBatch> result) {
    busy_ = false;
    if (!result) {
        failed("claim due", result.error());
        return;
    }
    // Still due: the next one is in the past, because the limit ended this claim.
    due_ = result->next_due && result->next_due->count() <= 0;
    if (result->next_due && !due_) expect_due(*result->next_due);
    if (take(result)) poll();
}

void Claimer::on_ready(core::Result<ClaimBatch> result, int limit, bool sweep) {
    busy_ = false;
    if (!result) {
        failed("claim", result.error());
        return;
    }
    const auto cost = std::chrono::duration_cast<std::chrono::microseconds>(clock_.mono() - started_);
    if (result->taken == static_cast<std::size_t>(limit)) {
        more_ready_ = true;
        full_until_ = result->last;
    } else if (result->running) {
        // A claim that went on from the last one's end says nothing of what was committed before that place.
        const bool from_the_floor = sweep || !full_until_;
        if (from_the_floor) floor_ = result->next_floor;
        if (!from_the_floor) more_ready_ = true;
        full_until_.reset();
    }
    if (result->taken > 0) mediator_.on_found(result->taken, std::exchange(by_fallback_, false));
    if (result->running && sweep) {
        // A held snapshot makes sweeps walk what is dead; then they are made rarer, so that they stay below 2 %.
        next_sweep_ = clock_.mono() + std::max<std::chrono::microseconds>(kSweepPeriod, cost * 50);
        orphans_ = true;
    }
    if (take(result)) poll();
}

bool Claimer::take(core::Result<ClaimBatch>& result) {
    if (!result->running) {
        mediator_.on_stopped();
        return false;
    }
    if (!result->deliveries.empty()) {
        observer_.on_claim(result->deliveries.size(),
                           std::chrono::duration_cast<std::chrono::microseconds>(clock_.mono() - started_));
        mediator_.on_claimed(std::move(result->deliveries));
    }
    return active_;
}

// The fallback timer, or a new session, tries again.
void Claimer::failed(const char* what, const core::Error& error) {
    more_ready_ = true;
    observer_.on_trouble(what, error);
}

}  // namespace messaging::service
