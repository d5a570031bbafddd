// The claim protocol as a small state machine: what PostgreSQL holds, what each engine remembers, and each step that changes it;
// pure.
//
// A step is one transaction, or one thing that happens to an engine. Left out, because nothing follows from it here: an insert
// that is not committed (nobody sees it), the claim's floor (a sweep looks below it), receipts, time (what may become due does so
// at any moment, and whoever has lost its lock may be found dead at any moment).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace messaging::model {

inline constexpr std::size_t kMaxEngines = 3;
inline constexpr std::size_t kMaxMessages = 3;
inline constexpr std::size_t kMaxClaims = 8;
inline constexpr std::size_t kMaxItems = 10;
inline constexpr int kMaxAttempts = 2;

enum class Schedule : std::uint8_t { kNone, kLater, kDue };

struct Message {
    bool inserted = false;
    bool sent = false;
    bool dead = false;
    std::uint8_t attempts = 0;
    std::uint8_t queued = 0;    // rows in messaging._queue
    std::uint8_t accepted = 0;  // by the receiver; 2 = more than once
    Schedule schedule = Schedule::kNone;

    bool operator==(const Message&) const = default;
};

// Whose claim: instances that no engine knows itself by any more differ only in whether their row is there.
using Owner = std::uint8_t;
constexpr Owner instance_of(std::size_t engine) { return static_cast<Owner>(2 * engine); }
constexpr Owner next_instance_of(std::size_t engine) {
    return static_cast<Owner>(2 * engine + 1);
}  // registered, claims not yet moved
inline constexpr Owner kGrave = 2 * kMaxEngines;  // a row whose lock is free
inline constexpr Owner kNobody = kGrave + 1;      // no row

inline constexpr std::int8_t kAbsent = -1;
struct Claim {
    Owner owner = kNobody;
    bool adopted = false;
    std::array<std::int8_t, kMaxMessages> attempts{kAbsent, kAbsent, kAbsent};  // of each message, as at the claim

    bool operator==(const Claim&) const = default;
};

enum class Phase : std::uint8_t { kWaiting, kDelivered, kRetry, kRetryNow, kDead, kDeferred, kReturned };

inline constexpr std::uint8_t kGone = 255;  // a claim that is no more: nothing will ever match it
// A delivery in an engine's memory: not answered yet, or with its outcome not yet recorded.
struct Item {
    std::uint8_t message = 0;
    std::uint8_t claim = kGone;
    Phase phase = Phase::kWaiting;
    std::uint8_t attempts = 0;  // core::Delivery's while it waits, then core::Outcome's

    bool operator==(const Item&) const = default;
    auto operator<=>(const Item&) const = default;
};

enum class Life : std::uint8_t { kOff, kUp, kFrozen, kDying };  // dying = killed, but PostgreSQL may still have a request of its
enum class Bell : std::uint8_t {
    kNone,
    kUp,
    kBroken,
    kDown,
    kNew
};  // broken = not noticed yet; new = registered, claims not yet moved

struct Engine {
    Life life = Life::kOff;
    Bell bell = Bell::kNone;
    bool row = false;  // of instance_of()
    std::uint8_t item_count = 0;
    std::array<Item, kMaxItems> items{};
    std::array<std::uint8_t, kMaxClaims> open{};  // service::ClaimLedger: deliveries unrecorded by claim; 0 = not known

    bool operator==(const Engine&) const = default;
};

struct State {
    bool running = true;
    std::uint8_t faults = 0;  // deaths, freezes, lost sessions and lost answers so far
    std::uint8_t claim_count = 0;
    std::array<Message, kMaxMessages> messages{};
    std::array<Claim, kMaxClaims> claims{};
    std::array<Engine, kMaxEngines> engines{};

    bool operator==(const State&) const = default;
};

enum class Action : std::uint8_t {
    kInsert,
    kStart,
    kClaim,       // what is ready: those of the mask `which`
    kClaimDue,    // what is due, likewise
    kAccept,      // the item `which` is sent and answered: 2xx,
    kRefuse,      // anything else,
    kLocalFault,  // or it could not be sent
    kRecord,      // the outcome `which`, or kAll
    kLoseBell,    // the session with the instance's lock is gone, and the engine does not know yet
    kNotice,
    kRegister,
    kMove,   // the old instance's claims to the new one
    kAdopt,  // kAll = all instances whose lock is free, 0 = only what nobody's row answers for
    kReturnOrphans,
    kGiveBack,  // stopped: what waits becomes outcomes
    kShutDown,
    kDie,
    kLateRecord,  // a dead engine's request, which PostgreSQL finds after the death
    kLateClaim,
    kVanish,
    kFreeze,
    kEndSession,  // by the engine `which`, because the frozen one is silent
    kThaw,
    kDue,
    kStop,
    kResume,
};

inline constexpr std::uint8_t kAll = 255;
struct Step {
    Action action = Action::kInsert;
    std::uint8_t engine = 0;
    std::uint8_t which = 0;  // message, mask of messages, item or kAll: as the action has it
    bool lost = false;       // committed, but the answer never arrives
};

// What somebody could get wrong. The walk must find each of them.
enum class Mistake : std::uint8_t {
    kNone,
    kClaimWithoutLedger,     // the queue's rows are deleted, and only the engine knows
    kRescueEmptiesLedger,    // adopting deletes the claims before their messages are put anywhere
    kRecordWithoutFence,     // failures count whoever holds the claim
    kOrphansStay,            // a claim whose answer was lost is never put back
    kAdoptedKeepsItsNumber,  // an engine that gets back a claim it once lost takes old outcomes for new
    kLateSentStaysDead,      // only a second attempt looks whether the message waits or died elsewhere
    kRepeatsTurnBack,        // a repeat that is overtaken by a later attempt undoes it
    kGivesBackTwice,         // a repeat puts back what the ledger does not have any more
};

struct Bounds {
    std::size_t engines = 2;
    std::size_t messages = 2;
    int faults = 2;
    bool stops = true;  // stop, start and shut down too
};

// What can happen next, in a fixed order.
std::vector<Step> steps_from(const State& state, const Bounds& bounds);

// `step` must be one of steps_from(state). The result is canonical if `state` is.
State after(const State& state, const Step& step, Mistake mistake = Mistake::kNone);

// One form for all states that differ only in the numbers of claims and in the order of an engine's memory.
// `claim_places[i]`, `item_places[e][i]`: where the claim or item i of the canonical form stood before.
struct Places {
    std::array<std::uint8_t, kMaxClaims> claims{};
    std::array<std::array<std::uint8_t, kMaxItems>, kMaxEngines> items{};
};
Places make_canonical(State& state);

bool is_fault(const Step& step);
// Not answered for in the ledger by somebody who resolved it already.
bool is_open(const State& state, const Claim& claim, std::size_t message);
// Its outcomes may fail, or be put off: the claim is there, and the engine's.
bool is_fenced_off(const State& state, std::size_t engine, const Item& item);

std::string to_text(const Step& step);
std::string to_text(const State& state);

}  // namespace messaging::model
