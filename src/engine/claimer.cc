// The turns of the kinds of work, their ranges, and their failures.
#include "engine/claimer.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "core/sqlstate.h"
#include "engine/claim_store.h"
#include "engine/queue_position.h"
#include "engine/refusal.h"

namespace messaging::engine {
namespace {

// The claim took as many entries as it asked for, so there may be more.
bool is_full(const ClaimBatch& batch, const ClaimRequest& request) {
    return batch.taken == static_cast<std::size_t>(request.limit);
}

}  // namespace

Claimer::Claimer(ClaimStore& store, loop::TimerFactory& timers, const core::Clock& clock, core::Random& random,
                 EngineObserver& observer, int max_claim, Mediator mediator)
    : store_(store),
      clock_(clock),
      random_(random),
      observer_(observer),
      max_claim_(std::clamp(max_claim, 1, kMaxClaim)),
      mediator_(std::move(mediator)),
      due_timer_(timers.make_timer([this] {
          due_.wanted = true;
          next();
      })),
      again_timer_(timers.make_timer([this] { next(); })) {
    due_.limit = ready_.limit = held_.limit = max_claim_;
}

void Claimer::set_active(bool active) {
    if (active == this->active()) return;
    if (active) {
        state_ = state_ == State::kEnding ? State::kBusy : State::kReady;
    } else {
        state_ = state_ == State::kBusy ? State::kEnding : State::kInactive;
    }
    due_timer_->stop();
    again_timer_->stop();
    if (active) on_session_up();
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

void Claimer::poll() {
    ready_.wanted = true;
    by_poll_ = false;
    next();
}

void Claimer::poll_all() {
    by_poll_ = !ready_.wanted;
    ready_.wanted = true;
    due_.wanted = true;
    next();
}

void Claimer::expect_due(std::chrono::milliseconds delay) {
    const core::MonoTime at = clock_.mono() + delay;
    if (!active() || (due_timer_->armed() && next_due_ <= at)) return;
    next_due_ = at;
    due_timer_->start(delay);
}

void Claimer::on_capacity() {
    if (ready_.wanted || due_.wanted || held_.wanted) next();
}

void Claimer::expect_held() {
    held_.wanted = true;
    held_.not_before = std::min(held_.not_before, held_soonest_);
    next();
}

void Claimer::on_session_up() {
    if (floor_.floor() > 0) last_floor_ = std::exchange(floor_, {});
    full_until_.reset();
    ready_.pass_over = false;
    by_poll_ = false;
    for (Work* const work : {&orphans_, &due_, &ready_}) {
        work->wanted = true;
        work->not_before = {};
        work->next_full_scan = {};
    }
    next();
}

void Claimer::next() {
    if (state_ != State::kReady) return;
    if (!orphans_.wanted && !due_.wanted && !ready_.wanted) mediator_.on_idle();
    if (may(orphans_)) {
        reschedule_orphans();
        return;
    }
    const bool needs_capacity = may(ready_) || may(due_);
    const bool capacity = needs_capacity && mediator_.capacity() > 0;
    if (const auto source = next_source(capacity)) {
        last_source_ = *source;
        claim(*source);
        return;
    }
    if (needs_capacity && !capacity && ready_.wanted && !by_poll_) mediator_.on_overload();
    await_work();
}

std::optional<Source> Claimer::next_source(bool capacity) {
    for (std::size_t turn = 1; turn <= kSources; ++turn) {
        const auto source = static_cast<Source>((static_cast<std::size_t>(last_source_) + turn) % kSources);
        if (may(work(source)) && (capacity || source == Source::kHeld)) return source;
    }
    return std::nullopt;
}

// again_timer_ starts the work that has to wait. on_capacity() starts the work that lacks capacity.
void Claimer::await_work() {
    std::optional<core::MonoTime> soonest;
    for (const Work* const work : {&orphans_, &due_, &ready_, &held_}) {
        if (work->wanted && work->not_before > clock_.mono())
            soonest = std::min(soonest.value_or(work->not_before), work->not_before);
    }
    if (soonest) again_timer_->start(std::chrono::ceil<std::chrono::milliseconds>(*soonest - clock_.mono()));
}

void Claimer::reschedule_orphans() {
    begin_statement();
    store_.reschedule_orphans(mediator_.instance_id(), mediator_.known_claims(), mediator_.messages_in_memory(),
                              [this](const core::Result<OrphanCount>& result) {
                                  end_statement();
                                  if (!result) {
                                      back_off(orphans_, result.error());
                                  } else {
                                      succeeded(orphans_);
                                      orphans_.wanted = false;
                                      if (result->unknown + result->not_in_memory > 0) due_.wanted = true;
                                      if (result->not_in_memory > 0) observer_.on_not_in_memory(result->not_in_memory);
                                  }
                                  next();
                              });
}

void Claimer::claim(Source source) {
    const Scan scan = choose_scan(source);
    ClaimRequest request;
    request.limit = work(source).limit;
    if (source == Source::kHeld) {
        request.capacities = mediator_.held_capacities();
        request.other_capacity = mediator_.other_held_capacity();
        request.after = held_after_;
    } else {
        request.limit = static_cast<int>(std::min<std::size_t>(mediator_.capacity(), static_cast<std::size_t>(request.limit)));
        request.limit = std::max(1, request.limit);
        set_range(scan, request);
    }
    work(source).wanted = false;  // a request from now on is for the next claim
    start_claim(source, scan, request);
}

Claimer::Scan Claimer::choose_scan(Source source) {
    if (source == Source::kHeld) return Scan::kRest;
    if (clock_.mono() >= work(source).next_full_scan) return Scan::kFull;
    if (work(source).pass_over) return Scan::kSnapshot;
    if (source == Source::kDue) return Scan::kRest;
    unread_was_last_ = floor_.unread() && !unread_was_last_;
    return unread_was_last_ ? Scan::kUnread : Scan::kRest;
}

void Claimer::set_range(Scan scan, ClaimRequest& request) const {
    QueueFloor::Range range;
    if (scan == Scan::kUnread) range = floor_.unread().value_or(range);
    if (scan == Scan::kRest) range = {full_until_.value_or(floor_.rest().behind), kLastXid};
    if (scan == Scan::kSnapshot) range.until = 0;
    request.behind = range.behind;
    request.until = range.until;
    request.due_from = scan == Scan::kFull ? DueTime(0) : scan == Scan::kSnapshot ? kNeverDue : due_from_;
}

void Claimer::start_claim(Source source, Scan scan, const ClaimRequest& range) {
    begin_statement();
    ClaimRequest request = range;
    request.instance_id = mediator_.instance_id();
    request.claim_id = random_.next_token();
    auto done = [this, source, scan, request](core::Result<ClaimBatch> result) {
        on_answer(source, scan, request, std::move(result));
    };
    switch (source) {
        case Source::kReady: store_.claim_ready(request, std::move(done)); break;
        case Source::kDue: store_.claim_due(request, std::move(done)); break;
        case Source::kHeld: store_.claim_held(request, std::move(done)); break;
    }
}

void Claimer::on_answer(Source source, Scan scan, const ClaimRequest& request, core::Result<ClaimBatch> result) {
    end_statement();
    if (!result) {
        on_claim_failed(source, scan, request, result.error());
        return;
    }
    succeeded(work(source));
    switch (source) {
        case Source::kReady: on_ready(result.value(), request, scan); break;
        case Source::kDue: on_due(result.value(), request, scan); break;
        case Source::kHeld: on_held(result.value(), request); break;
    }
    if (result->holding) held_.wanted = true;
    if (result->dead > 0) observer_.on_dead_lettered(result->dead);
    if (!result->running) {
        mediator_.on_stopped();
        return;
    }
    if (!result->deliveries.empty()) {
        observer_.on_claim(result->deliveries.size(), elapsed());
        mediator_.on_claimed(std::move(result->deliveries));
    }
    next();
}

// While an old snapshot is open, a full scan reads all dead rows of its table. Full scans are then made rarer, so that they take
// at most 2 % of the time.
core::MonoTime Claimer::after_full_scan() const {
    return clock_.mono() + std::max<std::chrono::microseconds>(kFullScanPeriod, elapsed() * 50);
}

std::chrono::microseconds Claimer::elapsed() const {
    return std::chrono::duration_cast<std::chrono::microseconds>(clock_.mono() - started_);
}

// After a claim that found messages, another claim follows. After a claim that found none, the next answer of an endpoint whose
// messages are held asks for the next claim (expect_held).
void Claimer::on_held(const ClaimBatch& batch, const ClaimRequest& request) {
    if (batch.taken > 0) held_.wanted = true;
    held_soonest_ = clock_.mono() + std::max<std::chrono::microseconds>(kHeldPause, elapsed() * kHeldPauseFactor);
    held_.not_before = batch.taken > 0 ? held_soonest_ : std::max(held_soonest_, clock_.mono() + kEmptyHeldPause);
    const auto last = std::max_element(batch.deliveries.begin(), batch.deliveries.end(),
                                       [](const auto& a, const auto& b) { return a.endpoint_id < b.endpoint_id; });
    held_after_ = is_full(batch, request) && last != batch.deliveries.end() ? last->endpoint_id : 0;
}

void Claimer::on_due(const ClaimBatch& batch, const ClaimRequest& request, Scan scan) {
    if (scan != Scan::kOne && batch.running) {
        due_from_ = is_full(batch, request) ? batch.last_due : std::max(DueTime(0), DueTime(batch.now - kDueOverlap));
        if (scan == Scan::kFull) due_.next_full_scan = after_full_scan();
        due_.pass_over = false;
    }
    // 0: the claim was full, so more messages are due. A snapshot has read no rows.
    const bool more = (batch.next_due && batch.next_due->count() <= 0) || scan == Scan::kSnapshot;
    if (more) due_.wanted = true;
    if (batch.next_due && !more) expect_due(*batch.next_due);
}

void Claimer::on_ready(const ClaimBatch& batch, const ClaimRequest& request, Scan scan) {
    floor_.note(batch.snapshot);
    if (scan == Scan::kOne) {
        ready_.wanted = true;  // the claim of one message says nothing of the others
    } else if (is_full(batch, request)) {
        ready_.wanted = true;
        if (scan == Scan::kUnread) {
            floor_.unread_was_full(request.until, batch.last);
        } else {
            full_until_ = batch.last;
            // Most entries were for endpoints that cannot take them now. Many more may follow, and the messages of other
            // endpoints may be behind them.
            if (batch.holding && 2 * batch.deliveries.size() < batch.taken) ready_.pass_over = true;
        }
    } else if (batch.running) {
        on_range_read(batch, request, scan);
    }
    if (floor_.unread()) ready_.wanted = true;
    if (batch.taken > 0) mediator_.on_found(batch.taken, std::exchange(by_poll_, false));
    if (batch.running && scan == Scan::kFull) {
        ready_.next_full_scan = after_full_scan();
        orphans_.wanted = true;
    }
}

// Everything that the claim could see in its range is claimed.
void Claimer::on_range_read(const ClaimBatch& batch, const ClaimRequest& request, Scan scan) {
    switch (scan) {
        case Scan::kFull:
            full_until_.reset();
            floor_.all_was_read(batch.snapshot);
            break;
        case Scan::kUnread: floor_.unread_was_read(request.until); break;
        case Scan::kSnapshot:
            ready_.pass_over = false;
            full_until_.reset();
            floor_.pass_over(batch.snapshot);
            ready_.wanted = true;
            break;
        case Scan::kRest:
            if (std::exchange(full_until_, std::nullopt)) {
                ready_.wanted = true;  // rows may have been committed before the place where the last claim ended
            } else {
                floor_.rest_was_read(batch.snapshot, elapsed());
            }
            break;
        case Scan::kOne: break;
    }
}

void Claimer::on_claim_failed(Source source, Scan scan, const ClaimRequest& request, const core::Error& error) {
    Work& failed = work(source);
    failed.wanted = true;
    const bool too_slow = error.kind == core::ErrorKind::kTimeout && error.sqlstate != core::kLockNotAvailable;
    if (too_slow) on_too_slow(source, scan, request);
    back_off(failed, error);
    if (source == Source::kHeld) {
        if (too_slow) failed.not_before = after_full_scan();
        held_soonest_ = failed.not_before;
    }
    if (request.limit == 1 && lies_in_the_data(error) && active()) {
        isolate(source, request, error);
    } else {
        if (error.kind != core::ErrorKind::kUnavailable || is_too_much(error)) failed.limit = std::max(1, request.limit / 2);
        next();
    }
}

// A claim that cannot end in time must not delay the other claims.
void Claimer::on_too_slow(Source source, Scan scan, const ClaimRequest& request) {
    if (scan == Scan::kFull) work(source).next_full_scan = after_full_scan();
    if (source == Source::kDue && (scan == Scan::kRest || due_from_ == DueTime(0))) due_.pass_over = true;
    if (source != Source::kReady) return;
    if (scan == Scan::kFull && floor_.floor() == 0) {
        floor_ = last_floor_;
        ready_.pass_over = floor_.floor() == 0;
    } else if (scan == Scan::kRest) {
        ready_.pass_over = true;
    } else if (scan == Scan::kUnread) {
        floor_.unread_was_too_slow(request.until);
    }
}

// A claim of one message has failed. Its id is not known, and another engine may hold locks. So the message is looked up and
// claimed by its id. If that fails as well, it is dead-lettered.
void Claimer::isolate(Source source, const ClaimRequest& request, const core::Error& error) {
    begin_statement();
    if (request.only) {
        store_.dead_letter(source, *request.only, "the message cannot be read: " + error.message,
                           [this](const core::Result<core::Unit>& result) {
                               end_statement();
                               report(observer_, kDeadLetterOperation, result);
                               if (result) observer_.on_dead_lettered(1);
                               next();
                           });
        return;
    }
    store_.peek(source, request, [this, source, request](const core::Result<std::optional<core::MessageId>>& first) {
        end_statement();
        if (first && first.value() && active()) {
            ClaimRequest one = request;
            one.limit = 1;
            one.only = first.value();
            start_claim(source, Scan::kOne, one);
        } else {
            next();
        }
    });
}

void Claimer::succeeded(Work& work) {
    if (work.delay.count() > 0) observer_.on_success(work.name);
    work.delay = std::chrono::milliseconds(0);
    work.not_before = {};
    work.limit = std::min(work.limit * 2, max_claim_);
}

void Claimer::back_off(Work& work, const core::Error& error) {
    observer_.on_error(work.name, error);
    // Waiting cannot help where the data is the reason: a smaller claim follows soon.
    work.delay = lies_in_the_data(error) ? kFirstBackOff : std::clamp(work.delay * 2, kFirstBackOff, kLastBackOff);
    work.not_before = clock_.mono() + work.delay;
}

}  // namespace messaging::engine
