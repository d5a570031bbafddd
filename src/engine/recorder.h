// Recorder: keeps every outcome until PostgreSQL has stored it. One transaction records all outcomes that wait.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
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
inline constexpr std::size_t kMaxUnrecorded = 10000;  // outcomes that wait; from this number on the engine claims nothing more
inline constexpr std::size_t kMaxSetAside = 100000;   // locked and refused outcomes; the same
// Refused outcomes in memory. Above this number, an outcome that is refused again although others were recorded is dead-lettered.
inline constexpr std::size_t kMaxRefused = 10000;
// The longest pause between transactions. A crash repeats every delivery that is not recorded, so the pause is short.
inline constexpr std::chrono::milliseconds kMaxPause{2};
// Fewer outcomes than this are a small batch. A small batch waits longer, because a crash repeats few deliveries then.
inline constexpr std::size_t kSmallBatch = 32;
inline constexpr std::chrono::milliseconds kSmallBatchPause{20};
inline constexpr std::chrono::milliseconds kLockedRetry{1000};  // wait before outcomes of locked rows are tried again
inline constexpr std::chrono::milliseconds kAfterRefusal{20};   // wait before the next transaction after a refusal
// Wait before one refused outcome is tried again, alone. It doubles with each refusal in a row, up to kLastRefusedRetry.
inline constexpr std::chrono::milliseconds kRefusedRetry{1000};
inline constexpr std::chrono::milliseconds kLastRefusedRetry{30000};
// While more than kMaxRefused are refused, one of them is tried again this often.
inline constexpr std::chrono::milliseconds kRefusedCheck{100};
inline constexpr std::chrono::milliseconds kConfirmDelay{1000};  // confirmed receipts wait this long to share a transaction

// Loop thread only.
// - The first outcome is recorded at once. After a transaction the recorder pauses for as long as the transaction took, kMaxPause
//   at most. While fewer than kSmallBatch outcomes wait, it pauses for kSmallBatchPause. Without a pause its commits would keep
//   the disk busy, and the inserters' commits would wait behind them.
// - An outcome leaves memory only when its transaction has committed. After a failure the same outcomes are tried again.
// - PostgreSQL can refuse an outcome, because of a constraint of the application, for example. The batches then become smaller
//   until the refused outcome is alone. From then on it is tried alone and delays no other outcome. When one refused outcome can
//   be recorded at last, the others are tried again in growing batches, because the cause may be over for them as well. While
//   more than kMaxRefused outcomes are refused, an outcome that is refused again although others were recorded meanwhile is
//   dead-lettered. This does not touch its message's row.
// - A trigger of the application can leave a row unchanged without an error. The recorder dead-letters such a message, because
//   the service would send it again and again.
// - A row that another session has locked delays only its own message. After a lock timeout the recorder asks which rows are
//   free, records these, and keeps the others in a separate list until they are free.
// - An outcome can change nothing, because its claim has ended or its message was sent again. The recorder counts it and gives
//   the message's id to reconcile.
class Recorder {
public:
    struct Mediator {
        std::function<core::InstanceId()> instance_id;
        // A transaction has marked messages as sent: its number, and their receipts.
        std::function<void(std::int64_t batch_id, std::vector<core::Receipt>)> on_sent_batch;
        std::function<void(const std::vector<std::int64_t>&)> on_confirmations_recorded;
        std::function<void(std::chrono::milliseconds)> on_scheduled;  // a message falls due after this time
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
    // The engine ends: records at once what waits for a larger batch or for the end of a pause. The wait after a failure remains.
    void flush_now();

    std::size_t unrecorded() const { return waiting_.size() + recording_.size() + locked_.size() + refused_.size(); }
    // The engine should claim nothing more, because a crash repeats every unrecorded delivery. Locked and refused outcomes have a
    // limit of their own: one transaction that locks thousands of rows, or a constraint that refuses thousands, does not stop the
    // engine.
    bool full() const {
        return waiting_.size() + recording_.size() >= kMaxUnrecorded || locked_.size() + refused_.size() >= kMaxSetAside;
    }
    std::vector<core::MessageId> unrecorded_messages() const;
    bool idle() const { return unrecorded() == 0 && confirmed_.empty() && !busy(); }

    enum class State {
        kReady,         // no call of the store is under way
        kPausing,       // the same, and the pause between two transactions has not ended
        kBackingOff,    // the last call has failed; the next one comes after retry_delay_
        kFindingLocks,  // asks which rows of recording_ no other session has locked
        kRecording,     // records recording_
    };
    static bool may_follow(State from, State to);

private:
    bool busy() const { return state_ == State::kFindingLocks || state_ == State::kRecording; }
    void enter(State next);
    void flush_after_pause();
    void flush();
    void choose();
    void find_locks();
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
    std::unique_ptr<loop::Timer> timer_;  // the next flush: after a pause, after a failure, or for confirmations alone
    std::deque<core::Outcome> waiting_;
    std::vector<core::Outcome> recording_;
    std::vector<core::Outcome> locked_;  // another session has locked their rows
    std::unique_ptr<loop::Timer> locked_timer_;
    struct Refused {
        core::Outcome outcome;
        std::uint64_t transactions = 0;  // transactions_ when it was refused
    };
    std::deque<Refused> refused_;     // PostgreSQL has refused each of them alone
    std::uint64_t transactions_ = 0;  // committed transactions that have changed rows, without those of one refused outcome
    std::optional<std::uint64_t> refused_at_;  // set while recording_ is one refused outcome: Refused::transactions
    core::MonoTime next_check_{};              // earliest time to retry one while more than kMaxRefused are refused
    std::size_t returned_ = 0;                 // size of the last batch moved back to waiting_; doubles; 0 after a refusal
    std::unique_ptr<loop::Timer> refused_timer_;
    bool refused_is_next_ = false;  // the next transaction has the first of refused_, and no other outcome
    std::chrono::milliseconds refused_delay_{kRefusedRetry};
    std::vector<core::MessageId> suspects_;  // for reconcile, with the next transaction
    std::vector<core::MessageId> noting_;    // suspects in the transaction under way
    std::vector<std::int64_t> confirmed_;    // batches whose receipts Redis has, for the next transaction
    std::vector<std::int64_t> confirming_;   // the same, in the transaction under way
    std::size_t batch_limit_ = kMaxRecordBatch;
    std::chrono::milliseconds retry_delay_{0};  // after the last failure; 0 = none since the last success
    core::MonoTime started_{};
    core::MonoTime pause_end_{};              // no transaction before it, unless batch_limit_ outcomes wait
    core::MonoTime small_batch_pause_end_{};  // the same, while fewer than kSmallBatch outcomes wait
    bool rows_are_locked_ = false;            // find the locked rows before each transaction
    State state_ = State::kReady;
};

}  // namespace messaging::engine
