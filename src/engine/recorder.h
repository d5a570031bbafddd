// Recorder: keeps every outcome until PostgreSQL has it; the size of a batch follows from what waits and from what a
// transaction costs.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <unordered_set>
#include <vector>

#include "core/clock.h"
#include "core/message.h"
#include "engine/engine_observer.h"
#include "engine/open_claims.h"
#include "engine/record_store.h"
#include "loop/timer.h"

namespace messaging::engine {

inline constexpr std::size_t kMaxRecordBatch = 1000;  // outcomes in one transaction
inline constexpr std::size_t kMaxUnrecorded = 10000;  // outcomes waiting; beyond, nothing more is claimed
inline constexpr std::size_t kMaxSetAside = 100000;   // outcomes of rows that are locked, or that PostgreSQL refuses
inline constexpr std::size_t kMaxRefused = 10000;  // refused ones; beyond, who is refused while others are recorded is given up
// The gap between transactions. A crash repeats every delivery that is not recorded, so the gap is short; a small batch may wait
// longer, because it repeats little.
inline constexpr std::chrono::milliseconds kMaxFlushGap{2};
inline constexpr std::size_t kSmallBatch = 32;  // outcomes
inline constexpr std::chrono::milliseconds kSmallBatchDelay{20};
inline constexpr std::chrono::milliseconds kLockedRetry{1000};   // outcomes of locked rows are tried again after it
inline constexpr std::chrono::milliseconds kAfterRefusal{20};    // the next try, when PostgreSQL has refused some outcome
inline constexpr std::chrono::milliseconds kRefusedRetry{1000};  // one refused outcome is tried again, by itself, after it …
inline constexpr std::chrono::milliseconds kLastRefusedRetry{30000};  // … doubled with each refusal in a row, up to this
inline constexpr std::chrono::milliseconds kRefusedCheck{100};        // where there are too many, one of them is tried so often
inline constexpr std::chrono::milliseconds kConfirmDelay{1000};       // confirmed receipts wait so long to share a transaction

// Loop thread only.
// - The first outcome is recorded at once. After a transaction the recorder pauses for as long as the transaction took, and a
//   little longer while few outcomes wait. Without the pause its commits would follow each other, each waiting for the disk, and
//   the inserters' commits would wait behind them.
// - An outcome leaves memory only when its transaction has committed. After a failure the same outcomes are tried again. Where
//   PostgreSQL refuses them (because of a constraint of the application, for example), the batches become smaller until the
//   refused outcome is alone. From then on it is tried by itself and delays no other outcome. When one of them can be recorded
//   at last, the cause may be over for the others as well: they return in growing batches. Where there are very many, those are
//   dead-lettered that are refused again although others were recorded since; this does not touch their rows. A message whose row
//   stays as it was although PostgreSQL reports no error is dead-lettered too: a trigger of the application does that, and the
//   message would be sent again and again.
// - A row that another session has locked delays its own message only. After a lock timeout the recorder asks which rows are
//   free, records those, and keeps the others in a separate list until they are free.
// - An outcome that changes nothing, because its claim had ended or its message had been sent again, is counted, and reconcile is
//   told to look for the message.
class Recorder {
public:
    struct Mediator {
        std::function<core::InstanceId()> instance_id;
        // Committed; receipts of what was newly sent, when there were any.
        std::function<void(std::int64_t batch_id, std::vector<core::Receipt>)> on_sent_batch;
        std::function<void(const std::vector<std::int64_t>&)> on_confirmations_recorded;
        std::function<void(std::chrono::milliseconds)> on_scheduled;  // something falls due after so long
        std::function<void()> on_held;                                // messages were moved to the hold
        std::function<void()> on_progress;                            // a transaction has committed
    };

    Recorder(RecordStore& store, OpenClaims& open_claims, loop::TimerFactory& timers, const core::Clock& clock,
             EngineObserver& observer, Mediator mediator);

    void add(core::Outcome outcome);
    // Redis has the receipts of this batch; the backlog row may go.
    void confirm(std::int64_t batch_id);
    // The record session is up again: try now.
    void retry_now();
    // The engine ends: what waits for a larger batch or for the end of a rest is recorded at once. After a failure the wait
    // before the next try remains.
    void flush_now();

    std::size_t unrecorded() const { return waiting_.size() + sending_.size() + locked_.size() + refused_.size(); }
    // Nothing more should be claimed: what is unrecorded is what a crash repeats. What is set aside has a bound of its own. One
    // transaction that has locked thousands of messages, or a constraint that refuses thousands, does not stop the others.
    bool full() const {
        return waiting_.size() + sending_.size() >= kMaxUnrecorded || locked_.size() + refused_.size() >= kMaxSetAside;
    }
    std::vector<core::MessageId> unrecorded_messages() const;
    bool idle() const { return unrecorded() == 0 && confirmed_.empty() && !busy_; }

private:
    void flush_when_rested();
    void flush();
    void choose();
    void look_for_locks();
    void record();
    void on_unlocked(const core::Result<std::vector<core::MessageId>>& unlocked);
    void retry_locked();
    using MessageIds = std::unordered_set<core::MessageId>;
    void note_late(const RecordResult& result, const MessageIds& sent);
    void give_up_unchanged(const std::vector<KeptMessage>& kept);
    void return_refused();
    void schedule_next();
    void on_recorded(core::Result<RecordResult> result);
    void on_failed(const core::Error& error);
    void publish(const RecordResult& result, const MessageIds& sent);
    void announce();

    RecordStore& store_;
    OpenClaims& open_claims_;
    const core::Clock& clock_;
    EngineObserver& observer_;
    Mediator mediator_;
    std::unique_ptr<loop::Timer> timer_;  // the next flush: after the gap, after a failure, or for confirmations alone
    std::deque<core::Outcome> waiting_;
    std::vector<core::Outcome> sending_;
    std::vector<core::Outcome> locked_;  // another session has locked their rows
    std::unique_ptr<loop::Timer> locked_timer_;
    struct Refused {
        core::Outcome outcome;
        std::uint64_t transactions = 0;  // transactions_ when it was set aside
    };
    std::deque<Refused> refused_;      // PostgreSQL has refused each of them alone
    std::uint64_t transactions_ = 0;   // of other outcomes that have changed their rows
    std::uint64_t refused_since_ = 0;  // of the refused outcome that is being recorded: Refused::transactions
    core::MonoTime next_check_{};      // of whether one of too many is refused again
    std::size_t returning_ = 0;        // so many have returned last; 0 = none of them could be recorded
    std::unique_ptr<loop::Timer> refused_timer_;
    bool refused_is_next_ = false;  // the next transaction holds the first of refused_, and no other outcome
    bool sending_refused_ = false;
    std::chrono::milliseconds refused_delay_{kRefusedRetry};
    std::vector<core::MessageId> suspects_;  // for reconcile, with the next transaction
    std::vector<core::MessageId> noting_;
    std::vector<std::int64_t> confirmed_;
    std::vector<std::int64_t> confirming_;
    std::size_t batch_limit_ = kMaxRecordBatch;
    std::chrono::milliseconds retry_delay_{0};  // > 0 while the last try has failed
    core::MonoTime started_{};
    core::MonoTime flush_after_{};  // no transaction before it, unless a full one is waiting
    core::MonoTime small_batch_after_{};
    bool busy_ = false;
    bool failing_ = false;  // nothing was recorded since the last failure
    bool resting_ = false;  // timer_ ends the rest
    bool careful_ = false;  // some rows are locked: ask which ones before each transaction
};

}  // namespace messaging::engine
