// The batches of outcomes, the pauses between transactions, and the handling of a failed transaction.
#include "engine/recorder.h"

#include <algorithm>
#include <cassert>
#include <iterator>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "core/sqlstate.h"
#include "engine/record_store.h"
#include "engine/refusal.h"

namespace messaging::engine {
namespace {

constexpr std::chrono::milliseconds kFirstRetry{100};
constexpr std::chrono::milliseconds kLastRetry{2000};
constexpr std::chrono::milliseconds kAfterLockTimeout{1};

// Dead-letters the message. Restores the attempt count of the claim, because this attempt is not counted.
core::Outcome give_up(const core::Outcome& outcome, const std::string& why) {
    core::Outcome given_up = outcome;
    const bool delivered = outcome.kind == core::OutcomeKind::kDelivered;
    given_up.kind = core::OutcomeKind::kGivenUp;
    --given_up.attempts;
    given_up.error = (delivered ? std::string("accepted by the receiver") : "failed (" + outcome.error + ")") +
                     ", but it cannot be recorded: " + why;
    return given_up;
}

}  // namespace

Recorder::Recorder(RecordStore& store, OpenClaims& open_claims, loop::TimerFactory& timers, const core::Clock& clock,
                   EngineObserver& observer, Mediator mediator)
    : store_(store),
      open_claims_(open_claims),
      clock_(clock),
      observer_(observer),
      mediator_(std::move(mediator)),
      timer_(timers.make_timer([this] { flush(); })),
      locked_timer_(timers.make_timer([this] { retry_locked(); })),
      refused_timer_(timers.make_timer([this] {
          refused_is_next_ = !refused_.empty();  // there may be none left
          if (state_ != State::kBackingOff) flush();
      })) {}

bool Recorder::may_follow(State from, State to) {
    switch (to) {
        case State::kReady: return true;
        case State::kPausing: return from == State::kReady || from == State::kPausing;
        case State::kBackingOff: return from == State::kFindingLocks || from == State::kRecording;
        case State::kFindingLocks: return from != State::kFindingLocks && from != State::kRecording;
        case State::kRecording: return from != State::kRecording;
    }
    return false;
}

void Recorder::enter(State next) {
    assert(may_follow(state_, next));
    state_ = next;
}

std::vector<core::MessageId> Recorder::unrecorded_messages() const {
    std::vector<core::MessageId> ids;
    ids.reserve(unrecorded());
    for (const core::Outcome& outcome : waiting_) ids.push_back(outcome.id);
    for (const core::Outcome& outcome : recording_) ids.push_back(outcome.id);
    for (const core::Outcome& outcome : locked_) ids.push_back(outcome.id);
    for (const Refused& refused : refused_) ids.push_back(refused.outcome.id);
    return ids;
}

void Recorder::add(core::Outcome outcome) {
    waiting_.push_back(std::move(outcome));
    flush_after_pause();
}

void Recorder::flush_after_pause() {
    if (busy() || state_ == State::kBackingOff) return;
    const core::MonoTime until = waiting_.size() < kSmallBatch ? small_batch_pause_end_ : pause_end_;
    const auto pause = std::chrono::ceil<std::chrono::milliseconds>(until - clock_.mono());
    if (pause.count() <= 0 || waiting_.size() >= batch_limit_) {
        flush();
    } else if (state_ != State::kPausing || waiting_.size() == kSmallBatch) {
        enter(State::kPausing);
        timer_->start(pause);
    }
}

void Recorder::confirm(std::int64_t batch_id) {
    confirmed_.push_back(batch_id);
    if (!busy() && !timer_->armed()) timer_->start(kConfirmDelay);
}

void Recorder::retry_now() {
    retry_delay_ = std::chrono::milliseconds(0);
    flush();
}

void Recorder::flush_now() {
    refused_is_next_ = !refused_.empty();
    if (state_ != State::kBackingOff) flush();
}

void Recorder::flush() {
    if (busy()) return;
    timer_->stop();
    refused_is_next_ = refused_is_next_ && !refused_.empty();
    if (waiting_.empty() && confirmed_.empty() && suspects_.empty() && !refused_is_next_) {
        retry_delay_ = std::chrono::milliseconds(0);  // the refused outcome waits alone; new outcomes do not wait for it
        enter(State::kReady);
        return;
    }
    started_ = clock_.mono();
    choose();
    if (rows_are_locked_ && !recording_.empty()) {
        find_locks();
    } else {
        record();
    }
}

void Recorder::choose() {
    refused_at_.reset();
    if (std::exchange(refused_is_next_, false)) {
        recording_.push_back(std::move(refused_.front().outcome));
        refused_at_ = refused_.front().transactions;
        refused_.pop_front();
        return;
    }
    confirming_ = std::exchange(confirmed_, {});
    noting_ = std::exchange(suspects_, {});
    const auto count = static_cast<std::ptrdiff_t>(std::min(batch_limit_, waiting_.size()));
    recording_.assign(std::make_move_iterator(waiting_.begin()), std::make_move_iterator(waiting_.begin() + count));
    waiting_.erase(waiting_.begin(), waiting_.begin() + count);
}

void Recorder::record() {
    enter(State::kRecording);
    RecordRequest request;
    request.instance_id = mediator_.instance_id();
    request.outcomes = recording_;
    request.finished = open_claims_.finished_by(recording_);
    request.confirmed_batches = confirming_;
    request.suspects = noting_;
    store_.record(std::move(request), [this](core::Result<RecordResult> result) { on_recorded(std::move(result)); });
}

void Recorder::find_locks() {
    enter(State::kFindingLocks);
    std::vector<core::MessageId> ids;
    ids.reserve(recording_.size());
    for (const core::Outcome& outcome : recording_) ids.push_back(outcome.id);
    std::sort(ids.begin(), ids.end());
    store_.find_unlocked(std::move(ids),
                         [this](const core::Result<std::vector<core::MessageId>>& unlocked) { on_unlocked(unlocked); });
}

void Recorder::on_unlocked(const core::Result<std::vector<core::MessageId>>& unlocked) {
    if (!unlocked) {
        on_failed(unlocked.error());
        return;
    }
    retry_delay_ = std::chrono::milliseconds(0);  // PostgreSQL answers: new outcomes do not wait for the end of a back-off
    const MessageIds free(unlocked->begin(), unlocked->end());
    const auto first_locked = std::stable_partition(recording_.begin(), recording_.end(),
                                                    [&free](const core::Outcome& outcome) { return free.contains(outcome.id); });
    if (first_locked != recording_.end()) {
        observer_.on_locked(static_cast<std::size_t>(recording_.end() - first_locked));
        locked_.insert(locked_.end(), std::make_move_iterator(first_locked), std::make_move_iterator(recording_.end()));
        recording_.erase(first_locked, recording_.end());
        if (!locked_timer_->armed()) locked_timer_->start(kLockedRetry);
    }
    if (recording_.empty() && confirming_.empty() && noting_.empty()) {
        enter(State::kReady);
        schedule_next();
    } else {
        record();
    }
}

void Recorder::retry_locked() {
    waiting_.insert(waiting_.begin(), std::make_move_iterator(locked_.begin()), std::make_move_iterator(locked_.end()));
    locked_.clear();
    flush_after_pause();
}

void Recorder::on_recorded(core::Result<RecordResult> result) {
    if (!result) {
        on_failed(result.error());
        return;
    }
    enter(State::kReady);
    const auto elapsed = std::chrono::duration_cast<std::chrono::microseconds>(clock_.mono() - started_);
    observer_.on_recorded(recording_.size(), elapsed);
    pause_end_ = clock_.mono() + std::min<std::chrono::microseconds>(elapsed, kMaxPause);
    small_batch_pause_end_ = clock_.mono() + kSmallBatchPause;
    retry_delay_ = std::chrono::milliseconds(0);
    observer_.on_success(kRecordOperation);
    if (refused_at_) refused_delay_ = kRefusedRetry;
    if (refused_at_ && refused_.empty()) observer_.on_success(kRecordOneOperation);
    // rows_are_locked_ ends only here. While it is set, a lock timeout cannot come from a row of messages, because all of these
    // were free: a trigger waits for another lock.
    if (locked_.empty() && std::exchange(rows_are_locked_, false)) observer_.on_success(kLockedRowsOperation);
    batch_limit_ = std::min(batch_limit_ * 2, kMaxRecordBatch);
    open_claims_.recorded(recording_);
    const MessageIds sent(result->sent.begin(), result->sent.end());
    note_late(result.value(), sent);
    give_up_unchanged(result->kept);
    if (!sent.empty() || result->failed > 0) {
        if (refused_at_) {
            returned_ = std::max<std::size_t>(returned_, 1);
        } else {
            ++transactions_;
            if (refused_.size() > kMaxRefused && clock_.mono() >= next_check_) {
                refused_is_next_ = true;
                next_check_ = clock_.mono() + kRefusedCheck;
            }
        }
        if (returned_ > 0) return_refused();
    }
    publish(result.value(), sent);
    announce();
    recording_.clear();
    noting_.clear();
    if (!confirming_.empty()) mediator_.on_confirmations_recorded(std::exchange(confirming_, {}));
    schedule_next();
    mediator_.on_progress();
}

void Recorder::schedule_next() {
    if (!refused_.empty() && !refused_is_next_ && !refused_timer_->armed()) refused_timer_->start(refused_delay_);
    if (refused_is_next_) {
        flush();
    } else if (!waiting_.empty()) {
        flush_after_pause();
    } else if ((!confirmed_.empty() || !suspects_.empty()) && !timer_->armed()) {
        timer_->start(kConfirmDelay);
    }
}

void Recorder::note_late(const RecordResult& result, const MessageIds& sent) {
    std::size_t late = 0;
    std::size_t given_up = 0;
    for (const core::Outcome& outcome : recording_) {
        const bool applied = outcome.kind == core::OutcomeKind::kDelivered
                                 ? sent.contains(outcome.id)
                                 : !std::binary_search(result.missing.begin(), result.missing.end(), outcome.claim_id);
        if (applied) {
            if (outcome.kind == core::OutcomeKind::kGivenUp) ++given_up;
            continue;
        }
        ++late;
        suspects_.push_back(outcome.id);
    }
    if (late > 0) observer_.on_late_outcomes(late);
    if (given_up > 0) observer_.on_dead_lettered(given_up);
}

// Dead-letters each message whose outcome was in this transaction and whose row is still as it was at the claim.
void Recorder::give_up_unchanged(const std::vector<KeptMessage>& kept) {
    if (kept.empty()) return;
    std::unordered_map<core::MessageId, core::ClaimId> open;
    for (const KeptMessage& message : kept) open.emplace(message.id, message.claim_id);
    for (const core::Outcome& outcome : recording_) {
        const auto found = open.find(outcome.id);
        if (found == open.end() || found->second != outcome.claim_id || !core::is_counted(outcome.kind)) continue;
        open_claims_.add(outcome.claim_id, 1);
        waiting_.push_back(give_up(outcome, "a trigger on messages leaves its row unchanged"));
        open.erase(found);
    }
    if (!open.empty()) observer_.on_kept(open.size());
}

// One refused outcome was recorded: the cause of the refusals may be over. Moves a batch of refused outcomes back to waiting_.
void Recorder::return_refused() {
    returned_ = std::min({2 * returned_, kMaxRecordBatch, refused_.size()});
    for (std::size_t i = 0; i < returned_; ++i) {
        waiting_.push_back(std::move(refused_.front().outcome));
        refused_.pop_front();
    }
}

void Recorder::announce() {
    std::optional<std::chrono::milliseconds> soonest;
    bool held = false;
    for (const core::Outcome& outcome : recording_) {
        held = held || outcome.kind == core::OutcomeKind::kHeld;
        if (outcome.kind != core::OutcomeKind::kRetry && outcome.kind != core::OutcomeKind::kDeferred) continue;
        soonest = std::min(soonest.value_or(outcome.delay), outcome.delay);
    }
    if (soonest) mediator_.on_scheduled(*soonest);
    if (held) mediator_.on_held();
}

void Recorder::publish(const RecordResult& result, const MessageIds& sent) {
    if (!result.sent_batch) return;
    std::vector<core::Receipt> receipts;
    receipts.reserve(sent.size());
    for (core::Outcome& outcome : recording_) {
        if (outcome.kind != core::OutcomeKind::kDelivered || !sent.contains(outcome.id)) continue;
        receipts.push_back({outcome.id, outcome.receiver_message_id, result.sent_at});
    }
    mediator_.on_sent_batch(*result.sent_batch, std::move(receipts));
}

void Recorder::on_failed(const core::Error& error) {
    const bool locked = error.sqlstate == core::kLockNotAvailable && !rows_are_locked_;
    const bool refused = !locked && may_lie_in_one_row(error);
    const bool refused_alone = refused && recording_.size() == 1;
    observer_.on_error(refused_alone ? kRecordOneOperation : kRecordOperation, error);
    confirmed_.insert(confirmed_.end(), confirming_.begin(), confirming_.end());
    confirming_.clear();
    suspects_.insert(suspects_.end(), noting_.begin(), noting_.end());
    noting_.clear();
    if (refused_alone) {
        if (refused_at_) refused_delay_ = std::min(refused_delay_ * 2, kLastRefusedRetry);
        // The receiver's message id may be the reason: the fact that the receiver accepted the message counts more.
        if (error.kind == core::ErrorKind::kInvalid) recording_.front().receiver_message_id.reset();
        const bool in_vain = refused_at_ && *refused_at_ < transactions_ && core::is_counted(recording_.front().kind);
        if (in_vain && refused_.size() >= kMaxRefused) {
            waiting_.push_back(give_up(recording_.front(), "PostgreSQL refuses to change its row"));
        } else {
            refused_.push_back({std::move(recording_.front()), transactions_});
        }
        if (!refused_timer_->armed()) refused_timer_->start(refused_delay_);
    } else if (refused_at_) {
        refused_.push_front({std::move(recording_.front()), *refused_at_});
        refused_is_next_ = true;
    } else {
        waiting_.insert(waiting_.begin(), std::make_move_iterator(recording_.begin()), std::make_move_iterator(recording_.end()));
    }
    if (locked) rows_are_locked_ = true;
    if (is_too_much(error) && !refused_at_ && recording_.size() > 1) batch_limit_ = recording_.size() / 2;
    if (refused) {
        if (!refused_at_) batch_limit_ = std::max<std::size_t>(1, recording_.size() / 2);
        returned_ = 0;
    }
    recording_.clear();
    retry_delay_ = locked ? kAfterLockTimeout : refused ? kAfterRefusal : std::clamp(retry_delay_ * 2, kFirstRetry, kLastRetry);
    enter(State::kBackingOff);
    timer_->start(retry_delay_);
}

}  // namespace messaging::engine
