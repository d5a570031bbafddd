// Batched recording with retries for ever.
#include "engine/recorder.h"

#include <algorithm>
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
constexpr std::chrono::milliseconds kLookForLocks{1};  // after a lock timeout

// Its claim's number of attempts again, because this one is not counted.
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
          refused_is_next_ = !refused_.empty();  // they may all be recorded by now
          if (retry_delay_.count() == 0) flush();
      })) {}

std::vector<core::MessageId> Recorder::unrecorded_messages() const {
    std::vector<core::MessageId> ids;
    ids.reserve(unrecorded());
    for (const core::Outcome& outcome : waiting_) ids.push_back(outcome.id);
    for (const core::Outcome& outcome : sending_) ids.push_back(outcome.id);
    for (const core::Outcome& outcome : locked_) ids.push_back(outcome.id);
    for (const Refused& refused : refused_) ids.push_back(refused.outcome.id);
    return ids;
}

void Recorder::add(core::Outcome outcome) {
    waiting_.push_back(std::move(outcome));
    if (retry_delay_.count() == 0) flush_when_rested();
}

void Recorder::flush_when_rested() {
    if (busy_) return;
    const core::MonoTime until = waiting_.size() < kSmallBatch ? small_batch_after_ : flush_after_;
    const auto rest = std::chrono::ceil<std::chrono::milliseconds>(until - clock_.mono());
    if (rest.count() <= 0 || waiting_.size() >= batch_limit_) {
        flush();
    } else if (!resting_ || waiting_.size() == kSmallBatch) {
        resting_ = true;
        timer_->start(rest);
    }
}

void Recorder::confirm(std::int64_t batch_id) {
    confirmed_.push_back(batch_id);
    if (!busy_ && !timer_->armed()) timer_->start(kConfirmDelay);
}

void Recorder::retry_now() {
    retry_delay_ = std::chrono::milliseconds(0);
    flush();
}

void Recorder::flush_now() {
    refused_is_next_ = !refused_.empty();
    if (retry_delay_.count() == 0) flush();
}

void Recorder::flush() {
    if (busy_) return;
    timer_->stop();
    resting_ = false;
    refused_is_next_ = refused_is_next_ && !refused_.empty();
    if (waiting_.empty() && confirmed_.empty() && suspects_.empty() && !refused_is_next_) {
        retry_delay_ = std::chrono::milliseconds(0);  // the one that failed was set aside; nothing that comes now waits for it
        return;
    }
    busy_ = true;
    started_ = clock_.mono();
    choose();
    if (careful_ && !sending_.empty()) {
        look_for_locks();
    } else {
        record();
    }
}

void Recorder::choose() {
    sending_refused_ = std::exchange(refused_is_next_, false);
    if (sending_refused_) {
        sending_.push_back(std::move(refused_.front().outcome));
        refused_since_ = refused_.front().transactions;
        refused_.pop_front();
        return;
    }
    confirming_ = std::exchange(confirmed_, {});
    noting_ = std::exchange(suspects_, {});
    const auto count = static_cast<std::ptrdiff_t>(std::min(batch_limit_, waiting_.size()));
    sending_.assign(std::make_move_iterator(waiting_.begin()), std::make_move_iterator(waiting_.begin() + count));
    waiting_.erase(waiting_.begin(), waiting_.begin() + count);
}

void Recorder::record() {
    RecordRequest request;
    request.instance_id = mediator_.instance_id();
    request.outcomes = sending_;
    request.finished = open_claims_.finished_by(sending_);
    request.confirmed_batches = confirming_;
    request.suspects = noting_;
    store_.record(std::move(request), [this](core::Result<RecordResult> result) { on_recorded(std::move(result)); });
}

void Recorder::look_for_locks() {
    std::vector<core::MessageId> ids;
    ids.reserve(sending_.size());
    for (const core::Outcome& outcome : sending_) ids.push_back(outcome.id);
    std::sort(ids.begin(), ids.end());
    store_.find_unlocked(std::move(ids),
                         [this](const core::Result<std::vector<core::MessageId>>& unlocked) { on_unlocked(unlocked); });
}

void Recorder::on_unlocked(const core::Result<std::vector<core::MessageId>>& unlocked) {
    if (!unlocked) {
        busy_ = false;
        on_failed(unlocked.error());
        return;
    }
    retry_delay_ = std::chrono::milliseconds(0);  // PostgreSQL works; nothing that comes now waits for a repeat
    const MessageIds free(unlocked->begin(), unlocked->end());
    const auto first_locked = std::stable_partition(sending_.begin(), sending_.end(),
                                                    [&free](const core::Outcome& outcome) { return free.contains(outcome.id); });
    if (first_locked != sending_.end()) {
        observer_.on_locked(static_cast<std::size_t>(sending_.end() - first_locked));
        locked_.insert(locked_.end(), std::make_move_iterator(first_locked), std::make_move_iterator(sending_.end()));
        sending_.erase(first_locked, sending_.end());
        if (!locked_timer_->armed()) locked_timer_->start(kLockedRetry);
    }
    if (sending_.empty() && confirming_.empty() && noting_.empty()) {
        busy_ = false;
        schedule_next();
    } else {
        record();
    }
}

void Recorder::retry_locked() {
    waiting_.insert(waiting_.begin(), std::make_move_iterator(locked_.begin()), std::make_move_iterator(locked_.end()));
    locked_.clear();
    if (retry_delay_.count() == 0) flush_when_rested();
}

void Recorder::on_recorded(core::Result<RecordResult> result) {
    busy_ = false;
    if (!result) {
        on_failed(result.error());
        return;
    }
    const auto elapsed = std::chrono::duration_cast<std::chrono::microseconds>(clock_.mono() - started_);
    observer_.on_recorded(sending_.size(), elapsed);
    flush_after_ = clock_.mono() + std::min<std::chrono::microseconds>(elapsed, kMaxFlushGap);
    small_batch_after_ = clock_.mono() + kSmallBatchDelay;
    retry_delay_ = std::chrono::milliseconds(0);
    if (std::exchange(failing_, false)) observer_.on_success(kRecordOperation);
    if (sending_refused_) refused_delay_ = kRefusedRetry;
    if (sending_refused_ && refused_.empty()) observer_.on_success(kRecordOneOperation);
    // Not before: a lock timeout after every row was found free is no lock on a row of messages, but one that a trigger waits
    // for.
    if (locked_.empty() && std::exchange(careful_, false)) observer_.on_success(kLockedRowsOperation);
    batch_limit_ = std::min(batch_limit_ * 2, kMaxRecordBatch);
    open_claims_.recorded(sending_);
    const MessageIds sent(result->sent.begin(), result->sent.end());
    note_late(result.value(), sent);
    give_up_unchanged(result->kept);
    if (!sent.empty() || result->failed > 0) {
        if (sending_refused_) {
            returning_ = std::max<std::size_t>(returning_, 1);
        } else {
            ++transactions_;
            if (refused_.size() > kMaxRefused && clock_.mono() >= next_check_) {  // is it refused again?
                refused_is_next_ = true;
                next_check_ = clock_.mono() + kRefusedCheck;
            }
        }
        if (returning_ > 0) return_refused();
    }
    publish(result.value(), sent);
    announce();
    sending_.clear();
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
        flush_when_rested();
    } else if ((!confirmed_.empty() || !suspects_.empty()) && !timer_->armed()) {
        timer_->start(kConfirmDelay);
    }
}

void Recorder::note_late(const RecordResult& result, const MessageIds& sent) {
    std::size_t late = 0;
    std::size_t given_up = 0;
    for (const core::Outcome& outcome : sending_) {
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

// The outcome was in this transaction, no other engine has resolved the message, and yet it is as it was at its claim.
void Recorder::give_up_unchanged(const std::vector<KeptMessage>& kept) {
    if (kept.empty()) return;
    std::unordered_map<core::MessageId, core::ClaimId> open;
    for (const KeptMessage& message : kept) open.emplace(message.id, message.claim_id);
    for (const core::Outcome& outcome : sending_) {
        const auto found = open.find(outcome.id);
        if (found == open.end() || found->second != outcome.claim_id || !core::is_counted(outcome.kind)) continue;
        open_claims_.add(outcome.claim_id, 1);
        waiting_.push_back(give_up(outcome, "a trigger on messages leaves its row unchanged"));
        open.erase(found);
    }
    if (!open.empty()) observer_.on_kept(open.size());
}

// What made PostgreSQL refuse one may be over for the others as well.
void Recorder::return_refused() {
    returning_ = std::min({2 * returning_, kMaxRecordBatch, refused_.size()});
    for (std::size_t i = 0; i < returning_; ++i) {
        waiting_.push_back(std::move(refused_.front().outcome));
        refused_.pop_front();
    }
}

void Recorder::announce() {
    std::optional<std::chrono::milliseconds> soonest;
    bool held = false;
    for (const core::Outcome& outcome : sending_) {
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
    for (core::Outcome& outcome : sending_) {
        if (outcome.kind != core::OutcomeKind::kDelivered || !sent.contains(outcome.id)) continue;
        receipts.push_back({outcome.id, outcome.receiver_message_id, result.sent_at});
    }
    mediator_.on_sent_batch(*result.sent_batch, std::move(receipts));
}

void Recorder::on_failed(const core::Error& error) {
    const bool locked = error.sqlstate == core::kLockNotAvailable && !careful_;
    const bool refused = !locked && may_lie_in_one_row(error);
    const bool refused_alone = refused && sending_.size() == 1;
    observer_.on_error(refused_alone ? kRecordOneOperation : kRecordOperation, error);
    confirmed_.insert(confirmed_.end(), confirming_.begin(), confirming_.end());
    confirming_.clear();
    suspects_.insert(suspects_.end(), noting_.begin(), noting_.end());
    noting_.clear();
    if (refused_alone) {
        if (sending_refused_) refused_delay_ = std::min(refused_delay_ * 2, kLastRefusedRetry);
        // The receiver's words must never stand in the way of the fact that it accepted.
        if (error.kind == core::ErrorKind::kInvalid) sending_.front().receiver_message_id.reset();
        const bool in_vain = sending_refused_ && refused_since_ < transactions_ && core::is_counted(sending_.front().kind);
        if (in_vain && refused_.size() >= kMaxRefused) {
            waiting_.push_back(give_up(sending_.front(), "PostgreSQL refuses to change its row"));
        } else {
            refused_.push_back({std::move(sending_.front()), transactions_});
        }
        if (!refused_timer_->armed()) refused_timer_->start(refused_delay_);
    } else if (sending_refused_) {
        refused_.push_front({std::move(sending_.front()), refused_since_});
        refused_is_next_ = true;
    } else {
        waiting_.insert(waiting_.begin(), std::make_move_iterator(sending_.begin()), std::make_move_iterator(sending_.end()));
    }
    if (locked) careful_ = true;
    if (refused) {
        if (!sending_refused_) batch_limit_ = std::max<std::size_t>(1, sending_.size() / 2);
        returning_ = 0;
    }
    sending_.clear();
    failing_ = true;
    retry_delay_ = locked ? kLookForLocks : refused ? kAfterRefusal : std::clamp(retry_delay_ * 2, kFirstRetry, kLastRetry);
    timer_->start(retry_delay_);
}

}  // namespace messaging::engine
