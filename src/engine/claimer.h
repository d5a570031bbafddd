// Claimer: what to claim next: ready messages when asked for, due messages on time, held ones when their endpoints can take them,
// full scans and orphans at intervals.
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
inline constexpr std::chrono::milliseconds kFullScanPeriod{5000};  // a row the floor missed is found within it
// A transaction that schedules messages has committed within this time; else a full scan finds its messages.
inline constexpr std::chrono::seconds kDueOverlap{10};
inline constexpr std::chrono::milliseconds kFirstBackOff{50};   // a failed kind of work waits so long, doubled each time …
inline constexpr std::chrono::milliseconds kLastBackOff{1000};  // … up to this, while the other kinds go on

// Pauses between claims of held messages: after one that has found some, or when an endpoint has room again, and after one that
// has found none.
inline constexpr std::chrono::milliseconds kHeldPause{5};
inline constexpr std::chrono::milliseconds kEmptyHeldPause{100};
inline constexpr int kHeldRest = 4;  // times what a claim of held messages took, where dead entries make it slow

// Loop thread only. One statement is under way at a time, and the kinds of work take turns: a million due retries do not delay a
// new message, and new messages do not delay a retry. A kind that fails waits for a while and then asks for half as many
// messages, down to one. A single message that PostgreSQL cannot read (SQLSTATE class 22 or 23, or damaged data) is dead-lettered
// with the reason.
//
// A claim of ready messages begins at the floor (queue_floor.h). A row can be ready below the floor, because another engine had
// locked it and rolled back; a full scan, which begins at 0, finds it. While claims are full, each goes on where the last one
// ended; rows committed before that place are found by the first claim that is not full, or by the full scan. Claims of due
// messages begin kDueOverlap before the last one that found all, and have full scans of their own, for the same reasons.
class Claimer {
public:
    struct Mediator {
        std::function<core::InstanceId()> instance_id;
        std::function<std::size_t()> capacity;  // how many more deliveries may be claimed now; 0 = none
        // How many held messages each endpoint that the engine is sending to, and every other one, may be given now.
        std::function<std::vector<core::EndpointRoom>()> held_rooms;
        std::function<int()> other_held_room;
        std::function<std::vector<core::ClaimId>()> known_claims;
        std::function<std::vector<core::MessageId>()> messages_in_memory;  // all that the engine has and has not recorded
        std::function<void(std::vector<core::Delivery>)> on_claimed;
        std::function<void()> on_stopped;  // the service state, seen by a claim, is stopped
        std::function<void()> on_idle;     // nothing more is ready, and no notification has come since
        std::function<void(std::size_t messages, bool by_poll)> on_found;
        std::function<void()> on_overload;  // more is ready than this engine can take
    };

    // `max_claim`: messages in one claim at most, 1 to kMaxClaim.
    Claimer(ClaimStore& store, loop::TimerFactory& timers, const core::Clock& clock, core::Random& random,
            EngineObserver& observer, int max_claim, Mediator mediator);

    // Active = may claim. Becoming active begins with a full scan and with the rescheduling of orphans.
    void set_active(bool active);
    // Something is ready: a notification, or the doorbell's poll.
    void on_notified();
    // The poll of each second: for what was lost, and for what is due.
    void poll_all();
    // Something falls due after so long.
    void expect_due(std::chrono::milliseconds delay);
    // There is capacity again.
    void on_capacity();
    // Messages are held for an endpoint that can take some.
    void expect_held();
    // The claim session is new: an answer may have been lost, and the floor with it.
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
        kRest,    // from the floor on, or from where the last claim ended
        kUnread,  // a range below the floor
        // None: it tells which transactions are running, or the time. After it the rest begins behind what could not be read in
        // time, or is mostly held; that is read in turns with the rest.
        kSnapshot,
        kOne,  // one message
    };

    // One kind of work.
    struct Work {
        const char* name;  // the operation that its errors are counted under
        bool wanted = false;
        core::MonoTime not_before{};  // it waits until then
        std::chrono::milliseconds delay{0};
        int limit = kMaxClaim;
        core::MonoTime next_full_scan{};  // of its table
        bool pass_over = false;           // its next claim is a snapshot
    };
    Work& work(Source source) { return source == Source::kReady ? ready_ : source == Source::kDue ? due_ : held_; }
    bool may(const Work& work) const { return work.wanted && clock_.mono() >= work.not_before; }
    // Sources whose turn it may be; those of the ready and due messages only while there is capacity for them.
    std::optional<Source> next_source(bool capacity);
    void await_work();

    void next();
    core::MonoTime after_full_scan() const;
    std::chrono::microseconds elapsed() const;  // since the statement under way began
    void reschedule_orphans();
    void claim(Source source);
    Scan choose_scan(Source source);
    void set_range(Scan scan, ClaimRequest& request) const;
    void send(Source source, Scan scan, const ClaimRequest& request);
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
    std::unique_ptr<loop::Timer> again_timer_;  // the end of the shortest wait of a kind that is wanted
    Work orphans_{kOrphansOperation};           // the ledger may name messages that the engine does not have
    Work due_{kClaimDueOperation};              // something scheduled may be due
    Work ready_{kClaimOperation};               // notified, or the last claim was full
    Work held_{kClaimHeldOperation};            // messages may be held for endpoints that are not disabled
    Source last_source_ = Source::kHeld;        // the others go first
    core::MonoTime held_soonest_{};             // no claim of held messages before it, even where an endpoint has room for some
    core::EndpointId held_after_ = 0;           // the last endpoint that a claim of held messages has come to
    QueueFloor floor_;
    QueueFloor last_floor_;                    // of an earlier session: used where a full scan cannot finish
    std::optional<QueuePosition> full_until_;  // where the last claim, which was full, ended; not of an unread range
    bool unread_was_last_ = false;             // unread ranges and the rest take turns
    DueTime due_from_{0};                      // nothing older is due, but for what a full scan finds
    core::MonoTime next_due_{};                // when due_timer_ fires, while it is armed
    core::MonoTime started_{};
    State state_ = State::kInactive;
    bool by_poll_ = false;  // only poll_all has asked for ready messages
};

}  // namespace messaging::engine
