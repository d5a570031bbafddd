// The claim protocol as a small state machine: the steps that change claim_state.h's State; pure.
//
// A step is one transaction, one answer that arrives, or one thing that happens to an engine. A request and its answer are two
// steps wherever something can come between them. Left out, because nothing follows from it here: an insert that is not committed
// (nobody sees it), the claim's floor (a full scan reads below it), reconcile's search for lost messages (it would hide them),
// receipts, time (what may become due does so at any moment, whoever has lost its lock may be found failed at any moment, and a
// breaker opens after any failure and tries at any moment).
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "model/claim_state.h"

namespace messaging::model {

enum class Action : std::uint8_t {
    kInsert,  // also of an id that was there before, as another generation
    kStart,
    kClaim,       // what is ready: those of the mask `which`
    kClaimDue,    // what is due, likewise
    kClaimHeld,   // what is held, likewise
    kArrive,      // the claim's answer
    kLoseClaim,   // or its loss
    kAccept,      // the item `which` is sent and answered: 2xx,
    kRefuse,      // anything else,
    kLocalFault,  // or it could not be sent
    kHold,        // or its endpoint cannot take it soon,
    kAnswerGone,  // or it is refused for ever: 410
    kRecord,      // the outcome `which`, or kAll
    kRecorded,    // the record's answer
    kLoseRecord,  // or its loss: the outcomes will be recorded again
    kLoseListenSession,
    kNotice,
    kRegister,
    kMove,
    kMoved,    // the move's answer
    kReclaim,  // kAll = also of all instances whose lock is free, 0 = only of instances without a row
    kRescheduleOrphans,
    kRelease,  // stopped: what waits becomes outcomes
    kShutDown,
    kDie,
    kLateRecord,  // an ended engine's request, which PostgreSQL finds after the end
    kLateClaim,
    kVanish,
    kFreeze,
    kEndSession,  // by the engine `which`, because the frozen one is mute
    kThaw,
    kDue,
    kStop,
    kResume,
    kCrash,      // of PostgreSQL: every session ends, and claims that are not durable are undone
    kSendAgain,  // UPDATE … SET is_sent = false
    kDelete,
    kTruncate,  // RESTART IDENTITY: the ids come again
    kSetEndpoint,

    kOpenBreaker,        // after a failure; a success closes it
    kWriteFinding,       // of the engine
    kLoseFinding,        // it is not written
    kRead,               // the endpoint's state
    kHaveRead,           // the reading's answer
    kReleaseStrays,      // reconcile: what is held for an endpoint that is active or missing goes to the queue
    kClaimBehindActive,  // a claim of the mask `which` that has read the state before the endpoint became active

    // Two transactions that overlap: the first has locked what the second, begun before its commit, waits for.
    kReclaimBehindRecord,  // `which` records all it has, and `engine` reclaims
    kReclaimBehindMove,    // `which` moves its claims, and `engine` reclaims
    kReclaimBehindSent,    // `which` records its item `other` as sent, and `engine` reclaims the message: it does not wait
    kSentBehindReclaim,    // `engine` reclaims, and `which` records its item `other` as sent
    kSentBehindFailure,    // `engine` records all it has, and `which` its item `other`, of the same message, as sent
};
inline constexpr std::size_t kActions = static_cast<std::size_t>(Action::kSentBehindFailure) + 1;

inline constexpr std::uint8_t kAll = 255;
struct Step {
    Action action = Action::kInsert;
    std::uint8_t engine = 0;
    std::uint8_t which = 0;  // message, mask of messages, item, engine or kAll: as the action has it
    std::uint8_t other = 0;  // item of the engine `which`

    bool operator==(const Step&) const = default;
};

// What somebody could get wrong, or did. The walk must find each of them.
enum class Mistake : std::uint8_t {
    kClaimWithoutLedger,      // the queue's rows are deleted, and only the engine knows
    kRecordWithoutFence,      // failures count whoever holds the claim
    kFenceByInstance,         // failures count only for the instance that the engine believed to be when it sent them
    kRecordDoesNotLock,       // the fence is looked at, not locked
    kFinishUnchecked,         // a claim ends when the engine says so
    kOrphansStay,             // a claim whose answer was lost is never rescheduled
    kNumbersComeAgain,        // claim ids are a sequence's, which a crash sets back
    kReclaimByOneSnapshot,    // one statement takes the claims and looks at their messages
    kReclaimIsRemembered,     // reclaim ends the claims, and only the reclaiming engine knows their messages
    kReclaimTakesMoved,       // the wait for a move's lock does not look at the instance again
    kSentByIdAlone,           // whatever the message's generation is
    kSentMissesFirst,         // only a message that was tried or abandoned before is looked for in other places
    kSentMissesAbandoned,     // only a message that was tried before is
    kSentSeesOneSnapshot,     // it is looked for as of before the wait for the row's lock
    kRepeatsTurnBack,         // a repeat that is overtaken by a later attempt undoes it
    kReleasesTwice,           // a repeat releases what the ledger does not have any more
    kReleasesWhatIsResolved,  // whatever has become of the message since the claim
    kSendAgainLeavesEntries,  // a sent message that is sent again keeps an entry in the schedule
    kStraysStay,              // nobody looks into the hold of an endpoint that is active
    kFailingIsNotTried,       // nobody claims what is held for an endpoint that is failing
    kFindingsOnce,            // an engine that disagrees with what it reads says so no second time
    kFindingsEnable,          // a finding counts for a disabled endpoint too
    kActiveThoughHeld,        // an endpoint that recovers is active, though messages are held for it
};

class Mistakes {
public:
    constexpr Mistakes(std::initializer_list<Mistake> mistakes = {}) {
        for (const Mistake mistake : mistakes) bits_ |= bit(mistake);
    }
    constexpr bool has(Mistake mistake) const { return (bits_ & bit(mistake)) != 0; }

private:
    static constexpr std::uint32_t bit(Mistake mistake) { return 1U << static_cast<unsigned>(mistake); }
    std::uint32_t bits_ = 0;
};

struct Bounds {
    std::size_t engines = 2;
    std::size_t messages = 2;
    int faults = 2;
    bool stops = false;                                   // stop, start and shut down too
    bool crashes = false;                                 // of PostgreSQL
    int wishes = 0;                                       // how often a message is sent again,
    bool deletes = false;                                 // or its row deleted,
    bool truncates = false;                               // or the table truncated
    bool endpoints = false;                               // backlogged, disabled, and missing
    bool breakers = false;                                // failing and recovered too, as each engine finds it
    bool overlaps = false;                                // transactions that wait for each other
    std::size_t capacity = kMaxItems - kMaxMessages + 1;  // an engine that has so many deliveries in its memory claims no more
};

State initial_state(const Bounds& bounds);

// What can happen next, in a fixed order.
std::vector<Step> steps_from(const State& state, const Bounds& bounds);

// `step` must be one of steps_from(state). The result is canonical if `state` is.
State after(const State& state, const Step& step, Mistakes mistakes = {});

// One form for all states that differ only in the numbers of claims and in the order of an engine's memory.
// `claims[i]`, `items[e][i]`: where the claim or item i of the canonical form stood before.
struct Places {
    std::array<std::uint8_t, kMaxClaims> claims{};
    std::array<std::array<std::uint8_t, kMaxItems>, kMaxEngines> items{};
};
Places make_canonical(State& state);

bool is_fault(const Step& step);
bool is_wish(const Step& step);
bool is_overlap(const Step& step);
// Which owners' claims a reclaim by `engine` takes; `failed_too` = kReclaim's kAll.
std::array<bool, kUndone + 1> reclaimable(const State& state, std::size_t engine, bool failed_too);

const char* name_of(Action action);
std::string to_text(const Step& step);
std::string to_text(const State& state);

}  // namespace messaging::model
