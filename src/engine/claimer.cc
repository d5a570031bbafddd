// Taking turns between the kinds of work, and what a failure of one of them means.
#include "engine/claimer.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "core/jitter.h"
#include "engine/claim_store.h"
#include "engine/queue_position.h"
#include "engine/refusal.h"

namespace messaging::engine {
Claimer::Claimer(ClaimStore& store, loop::TimerFactory& timers, const core::Clock& clock, core::Random& random,
                 EngineObserver& observer, int max_claim, Mediator mediator)
    : store_(store),
      clock_(clock),
      random_(random),
      observer_(observer),
      max_claim_(std::clamp(max_claim, 1, kMaxClaim)),
      mediator_(std::move(mediator)),
      timer_(timers.make_timer([this] { tick(); })),
      due_timer_(timers.make_timer([this] {
          due_.wanted = true;
          poll();
      })),
      again_timer_(timers.make_timer([this] { poll(); })) {
    due_.limit = ready_.limit = max_claim_;
}

void Claimer::set_active(bool active) {
    if (active == this->active()) return;
    if (active) {
        state_ = state_ == State::kEnding ? State::kBusy : State::kReady;
    } else {
        state_ = state_ == State::kBusy ? State::kEnding : State::kInactive;
    }
    timer_->stop();
    due_timer_->stop();
    again_timer_->stop();
    if (!active) return;
    on_session_up();
    tick();
}

void Claimer::begin_statement() {
    assert(state_ == State::kReady);
    state_ = State::kBusy;
    started_ = clock_.mono();
}

void Claimer::end_statement() {
    assert(state_ == State::kBusy || state_ == State::kEnding);
    state_ = state_ == State::kBusy ? State::kReady : State::kInactive;
}

void Claimer::on_notified() {
    ready_.wanted = true;
    by_poll_ = false;
    poll();
}

void Claimer::expect_due(std::chrono::milliseconds delay) {
    const core::MonoTime at = clock_.mono() + delay;
    if (!active() || (due_timer_->armed() && next_due_ <= at)) return;
    next_due_ = at;
    due_timer_->start(delay);
}

void Claimer::on_capacity() {
    if (ready_.wanted || due_.wanted) poll();
}

void Claimer::on_session_up() {
    if (floor_.floor() > 0) last_floor_ = std::exchange(floor_, {});
    unfinished_.reset();
    next_full_scan_ = next_due_scan_ = {};
    for (Work* const work : {&orphans_, &due_, &ready_}) {
        work->wanted = true;
        work->not_before = {};
    }
    poll();
}

void Claimer::tick() {
    timer_->start(core::jittered(kPollPeriod, 0.9, 1.1, random_));
    by_poll_ = !ready_.wanted;
    ready_.wanted = true;
    due_.wanted = true;
    poll();
}

void Claimer::poll() {
    if (state_ != State::kReady) return;
    if (!orphans_.wanted && !due_.wanted && !ready_.wanted) {
        mediator_.on_idle();
        return;
    }
    if (may(orphans_)) {
        release_orphans();
        return;
    }
    const bool may_ready = may(ready_);
    if (!may_ready && !may(due_)) return;  // again_timer_ or the fallback comes back
    if (mediator_.capacity() == 0) {
        if (ready_.wanted && !by_poll_) mediator_.on_overload();
        return;
    }
    const Source source = may_ready && (turn_ == Source::kReady || !may(due_)) ? Source::kReady : Source::kDue;
    turn_ = source == Source::kReady ? Source::kDue : Source::kReady;
    claim(source, std::nullopt);
}

void Claimer::release_orphans() {
    begin_statement();
    store_.release_orphans(mediator_.instance_id(), mediator_.known_claims(), mediator_.held_messages(),
                           [this](const core::Result<OrphanCount>& result) {
                               end_statement();
                               if (!result) {
                                   step_aside(orphans_, result.error());
                               } else {
                                   succeeded(orphans_);
                                   orphans_.wanted = false;
                                   if (result->unknown + result->not_held > 0) due_.wanted = true;
                                   if (result->not_held > 0) observer_.on_not_held(result->not_held);
                               }
                               poll();
                           });
}

void Claimer::claim(Source source, std::optional<core::MessageId> only) {
    begin_statement();
    const bool is_ready = source == Source::kReady;
    const bool full_scan = clock_.mono() >= (is_ready ? next_full_scan_ : next_due_scan_);
    ClaimRequest request;
    request.instance_id = mediator_.instance_id();
    request.claim_id = random_.next_token();
    request.limit = static_cast<int>(std::min<std::size_t>(mediator_.capacity(), static_cast<std::size_t>(work(source).limit)));
    request.limit = only ? 1 : std::max(1, request.limit);
    request.only = only;
    if (is_ready) {
        ready_.wanted = false;
        QueueFloor::Range range;
        if (!full_scan) range = unfinished_ ? *unfinished_ : floor_.ended().value_or(floor_.rest());
        request.behind = range.behind;
        request.until = range.until;
    } else if (!full_scan) {
        request.due_from = due_from_;
    }
    auto done = [this, source, request, full_scan](core::Result<ClaimBatch> result) {
        on_answer(source, request, full_scan, std::move(result));
    };
    if (is_ready) {
        store_.claim_ready(request, std::move(done));
    } else {
        store_.claim_due(request, std::move(done));
    }
}

void Claimer::on_answer(Source source, const ClaimRequest& request, bool full_scan, core::Result<ClaimBatch> result) {
    end_statement();
    if (!result) {
        on_claim_failed(source, request, full_scan, result.error());
        return;
    }
    succeeded(work(source));
    if (source == Source::kReady) {
        on_ready(result.value(), request, full_scan);
    } else {
        on_due(result.value(), request, full_scan);
    }
    if (result->dead > 0) observer_.on_dead_lettered(result->dead);
    if (!result->running) {
        mediator_.on_stopped();
        return;
    }
    if (!result->deliveries.empty()) {
        observer_.on_claim(result->deliveries.size(),
                           std::chrono::duration_cast<std::chrono::microseconds>(clock_.mono() - started_));
        mediator_.on_claimed(std::move(result->deliveries));
    }
    poll();
}

// While an old snapshot is open, a full scan reads all dead rows of its table. Full scans are then made rarer, so that they take
// at most 2 % of the time.
core::MonoTime Claimer::after_full_scan() const {
    const auto cost = std::chrono::duration_cast<std::chrono::microseconds>(clock_.mono() - started_);
    return clock_.mono() + std::max<std::chrono::microseconds>(kFullScanPeriod, cost * 50);
}

void Claimer::on_due(const ClaimBatch& batch, const ClaimRequest& request, bool full_scan) {
    if (!request.only && batch.running) {
        const bool full = batch.taken == static_cast<std::size_t>(request.limit);
        due_from_ = full ? batch.last_due : std::max(DueTime(0), DueTime(batch.now - kDueOverlap));
        if (full_scan) next_due_scan_ = after_full_scan();
    }
    // Still due: the next one is in the past, because the limit ended this claim.
    due_.wanted = batch.next_due && batch.next_due->count() <= 0;
    if (batch.next_due && !due_.wanted) expect_due(*batch.next_due);
}

void Claimer::on_ready(const ClaimBatch& batch, const ClaimRequest& request, bool full_scan) {
    const auto cost = std::chrono::duration_cast<std::chrono::microseconds>(clock_.mono() - started_);
    floor_.note(batch.snapshot);
    if (request.only) {
        ready_.wanted = true;  // there is more than this one
    } else if (batch.taken == static_cast<std::size_t>(request.limit)) {
        ready_.wanted = true;
        unfinished_ = {batch.last, request.until};
    } else if (batch.running) {
        const bool went_on = std::exchange(unfinished_, std::nullopt).has_value() && !full_scan;
        if (full_scan) {
            floor_.all_was_read(batch.snapshot);
        } else if (request.until != kLastXid) {
            floor_.ended_was_read(request.until);
        } else if (went_on) {
            ready_.wanted = true;  // this says nothing of what was committed before the place where the last claim had ended
        } else {
            floor_.rest_was_read(batch.snapshot, cost);
        }
        if (floor_.ended()) ready_.wanted = true;
    }
    if (batch.taken > 0) mediator_.on_found(batch.taken, std::exchange(by_poll_, false));
    if (batch.running && full_scan) {
        next_full_scan_ = after_full_scan();
        orphans_.wanted = true;
    }
}

void Claimer::on_claim_failed(Source source, const ClaimRequest& request, bool full_scan, const core::Error& error) {
    Work& failed = work(source);
    failed.wanted = true;
    // A full scan that cannot finish must not delay the claims that begin at the floor.
    if (full_scan && error.kind == core::ErrorKind::kTimeout) {
        (source == Source::kReady ? next_full_scan_ : next_due_scan_) = clock_.mono() + kFullScanPeriod;
        if (floor_.floor() == 0) floor_ = last_floor_;
    }
    step_aside(failed, error);
    if (request.limit == 1 && lies_in_the_data(error) && active()) {
        isolate(source, request, error);
    } else {
        if (error.kind != core::ErrorKind::kUnavailable) failed.limit = std::max(1, request.limit / 2);
        poll();
    }
}

// One message alone has failed. Which one is not certain, because others may hold locks: it is named, tried by its name, and
// only when that fails as well is it given up.
void Claimer::isolate(Source source, const ClaimRequest& request, const core::Error& error) {
    begin_statement();
    if (request.only) {
        store_.dead_letter(source, *request.only, "the message cannot be read: " + error.message,
                           [this](const core::Result<core::Unit>& result) {
                               end_statement();
                               report(observer_, kDeadLetterOperation, result);
                               if (result) observer_.on_dead_lettered(1);
                               poll();
                           });
        return;
    }
    store_.peek(source, request, [this, source](const core::Result<std::optional<core::MessageId>>& first) {
        end_statement();
        if (first && first.value() && active()) {
            claim(source, first.value());
        } else {
            poll();
        }
    });
}

void Claimer::succeeded(Work& work) {
    if (work.delay.count() > 0) observer_.on_success(work.name);
    work.delay = std::chrono::milliseconds(0);
    work.not_before = {};
    work.limit = std::min(work.limit * 2, max_claim_);
}

void Claimer::step_aside(Work& work, const core::Error& error) {
    observer_.on_error(work.name, error);
    // What the data makes impossible does not become possible by waiting: the next, smaller claim follows soon.
    work.delay = lies_in_the_data(error) ? kFirstStepAside : std::clamp(work.delay * 2, kFirstStepAside, kLastStepAside);
    work.not_before = clock_.mono() + work.delay;
    if (active()) again_timer_->start(work.delay);
}

}  // namespace messaging::engine
