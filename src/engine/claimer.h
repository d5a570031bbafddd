// Claimer: decides what to claim next. It claims ready messages on request, due messages on time, and held messages when their
// endpoints can take them. It makes full scans and reschedules orphans at intervals.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "core/clock.h"
#include "core/random.h"
#include "engine/claim_store.h"
#include "engine/engine_observer.h"
#include "engine/queue_floor.h"
#include "engine/queue_position.h"
#include "loop/timer.h"

namespace messaging::engine {

inline constexpr int kMaxClaim = 1000;                             // messages in one claim
inline constexpr std::chrono::milliseconds kFullScanPeriod{5000};  // a full scan finds rows that the floor has missed
// Claims of due messages overlap by this time. A transaction that schedules messages and takes longer to commit is left to the
// full scan.
inline constexpr std::chrono::seconds kDueOverlap{10};
// Wait of a kind of work after a failure. It doubles with each failure in a row, up to kLastBackOff. The other kinds go on.
inline constexpr std::chrono::milliseconds kFirstBackOff{50};
inline constexpr std::chrono::milliseconds kLastBackOff{1000};

// Pauses between claims of held messages.
inline constexpr std::chrono::milliseconds kHeldPause{5};  // after a claim that found some, or when an endpoint has capacity
inline constexpr std::chrono::milliseconds kEmptyHeldPause{100};  // after a claim that found none
// Where dead entries make a claim of held messages slow, the pause is this many times the claim's duration.
inline constexpr int kHeldPauseFactor = 4;

// Loop thread only. One statement is under way at a time, and the kinds of work take turns: a million due retries do not delay a
// new message, and new messages do not delay a retry. A kind that fails waits for a while. It then asks for half as many
// messages, down to one, unless PostgreSQL could not be reached. A single message that PostgreSQL cannot read (SQLSTATE class 22
// or 23, or damaged data) is dead-lettered with the reason.
//
// A claim of ready messages begins at the floor (queue_floor.h). A row can be ready below the floor, because another engine had
// locked it and rolled back. A full scan begins at 0 and finds it. A claim is full when it took as many entries as it asked for.
// While claims are full, each continues where the last one ended. After the first claim that is not full, the next one begins at
// the floor again: it finds the rows that were committed before that place meanwhile. Claims of due messages begin kDueOverlap
// before the last one that was not full, and have full scans of their own, for the same reasons.
class Claimer {
public:
    struct Mediator {
        std::function<core::InstanceId()> instance_id;
        std::function<std::size_t()> capacity;  // deliveries that the engine may claim now
        // Held messages that the engine may claim now for each endpoint that it is sending to.
        std::function<std::vector<core::EndpointCapacity>()> held_capacities;
        std::function<int()> other_held_capacity;  // the same, for each other endpoint
        std::function<std::vector<core::ClaimId>()> known_claims;
        std::function<std::vector<core::MessageId>()> messages_in_memory;  // without a recorded outcome
        std::function<void(std::vector<core::Delivery>)> on_claimed;
        std::function<void()> on_stopped;  // a claim has seen the service state "stopped"
        std::function<void()> on_idle;     // no more messages are ready, and no notification has come since
        std::function<void(std::size_t messages, bool by_poll)> on_found;
        std::function<void()> on_overload;  // more messages are ready than this engine can take
    };

    // `max_claim`: messages in one claim at most, 1 to kMaxClaim.
    Claimer(ClaimStore& store, loop::TimerFactory& timers, const core::Clock& clock, core::Random& random,
            EngineObserver& observer, int max_claim, Mediator mediator);

    // Active = may claim. Becoming active begins with a full scan and with the rescheduling of orphans.
    void set_active(bool active);
    // Claims ready messages now: after a notification, or when the doorbell polls.
    void poll();
    // Claims ready and due messages now. The doorbell calls it once a second, because a notification can be lost.
    void poll_all();
    // A message falls due after `delay`.
    void expect_due(std::chrono::milliseconds delay);
    // The engine has capacity again.
    void on_capacity();
    // Messages are held for an endpoint that can take some.
    void expect_held();
    // The claim session is new. The answer to a claim of the session before may have been lost, so the floor is unknown.
    void on_session_up();

    // No statement is under way.
    bool idle() const { return state_ == State::kInactive || state_ == State::kReady; }
    Xid lowest_floor() const { return floor_.lowest(); }

private:
    enum class State {
        kInactive,  // may not claim
        kEnding,    // the same, and a statement is still under way
        kReady,
        kBusy,  // a statement is under way
    };
    bool active() const { return state_ == State::kReady || state_ == State::kBusy; }
    void begin_statement();
    void end_statement();

    // Which rows a claim reads.
    enum class Scan {
        kFull,
        kRest,    // from the floor on, or from the place where the last claim ended
        kUnread,  // an unread range below the floor
        // Reads no rows. Ready messages: asks which transactions are running. The floor then moves past the rows that could not
        // be read in time, or are mostly held; these become unread ranges. Due messages: asks for the time. Messages that were
        // due earlier wait for the next full scan.
        kSnapshot,
        kOne,  // one message
    };

    // One kind of work.
    struct Work {
        const char* name;  // the operation that its errors are counted under
        bool wanted = false;
        core::MonoTime not_before{};  // earliest time of the next call
        std::chrono::milliseconds delay{0};
        int limit = kMaxClaim;
        core::MonoTime next_full_scan{};  // of its table
        bool pass_over = false;           // its next claim is a snapshot
    };
    Work& work(Source source) { return source == Source::kReady ? ready_ : source == Source::kDue ? due_ : held_; }
    bool may(const Work& work) const { return work.wanted && clock_.mono() >= work.not_before; }
    // The next source in turn that may be claimed. Ready and due messages need `capacity`.
    std::optional<Source> next_source(bool capacity);
    void await_work();

    void next();
    core::MonoTime after_full_scan() const;
    std::chrono::microseconds elapsed() const;  // since the statement under way began
    void reschedule_orphans();
    void claim(Source source);
    Scan choose_scan(Source source);
    void set_range(Scan scan, ClaimRequest& request) const;
    void start_claim(Source source, Scan scan, const ClaimRequest& request);
    void on_answer(Source source, Scan scan, const ClaimRequest& request, core::Result<ClaimBatch> result);
    void on_held(const ClaimBatch& batch, const ClaimRequest& request);
    void on_due(const ClaimBatch& batch, const ClaimRequest& request, Scan scan);
    void on_ready(const ClaimBatch& batch, const ClaimRequest& request, Scan scan);
    void on_range_read(const ClaimBatch& batch, const ClaimRequest& request, Scan scan);
    void on_claim_failed(Source source, Scan scan, const ClaimRequest& request, const core::Error& error);
    void on_too_slow(Source source, Scan scan, const ClaimRequest& request);
    void isolate(Source source, const ClaimRequest& request, const core::Error& error);
    void succeeded(Work& work);
    void back_off(Work& work, const core::Error& error);

    ClaimStore& store_;
    const core::Clock& clock_;
    core::Random& random_;
    EngineObserver& observer_;
    const int max_claim_;
    Mediator mediator_;
    std::unique_ptr<loop::Timer> due_timer_;    // the next scheduled message
    std::unique_ptr<loop::Timer> again_timer_;  // the earliest not_before of the kinds that are wanted
    Work orphans_{kOrphansOperation};           // wanted: the ledger may name messages that the engine does not have
    Work due_{kClaimDueOperation};              // wanted: a scheduled message may be due
    Work ready_{kClaimOperation};               // wanted: a notification has come, or the last claim was full
    Work held_{kClaimHeldOperation};            // wanted: messages may be held for endpoints that are not disabled
    Source last_source_ = Source::kHeld;        // the source of the last claim; the others go first
    core::MonoTime held_soonest_{};    // earliest time of the next claim of held messages, whatever capacity an endpoint has
    core::EndpointId held_after_ = 0;  // the last endpoint that a full claim of held messages has come to; 0 = none
    QueueFloor floor_;
    QueueFloor last_floor_;                    // the floor of the session before, for a first full scan that cannot finish
    std::optional<QueuePosition> full_until_;  // where the last claim from the floor on ended, if it was full
    bool unread_was_last_ = false;             // unread ranges and the rows from the floor on take turns
    DueTime due_from_{0};                      // claims of due messages begin here
    core::MonoTime next_due_{};                // when due_timer_ fires, while it is armed
    core::MonoTime started_{};
    State state_ = State::kInactive;
    bool by_poll_ = false;  // only poll_all has asked for ready messages
};

}  // namespace messaging::engine
