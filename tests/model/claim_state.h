// The claim protocol's state: what PostgreSQL holds, and what each engine remembers. Plain values.
#pragma once

#include <array>
#include <cstdint>

namespace messaging::model {

inline constexpr std::size_t kMaxEngines = 3;
inline constexpr std::size_t kMaxMessages = 3;
inline constexpr std::size_t kMaxClaims = 8;
inline constexpr std::size_t kMaxItems = 10;
inline constexpr int kMaxAttempts = 2;
inline constexpr int kMaxAbandoned = 2;  // the service's own limit is 10

enum class Schedule : std::uint8_t { kNone, kLater, kDue };
// Where a claim finds its messages.
enum class Source : std::uint8_t { kQueue, kSchedule, kHold };

// A row of public.messages and its places. Two rows of the queue count as one, because a claim takes both and sends once.
struct Message {
    bool inserted = false;
    bool sent = false;
    bool dead = false;
    bool queued = false;
    bool held = false;
    Schedule schedule = Schedule::kNone;
    std::uint8_t attempts = 0;
    std::uint8_t abandoned = 0;
    std::uint8_t generation = 0;  // of the row; while it is deleted, of the next row with this id
    std::uint8_t accepted = 0;    // by the receiver, in this generation; 2 = more than once

    bool operator==(const Message&) const = default;
};

// Whose claim. Instances that no engine knows itself by any more differ only in whether their row is there.
using Owner = std::uint8_t;
constexpr Owner instance_of(std::size_t engine) { return static_cast<Owner>(2 * engine); }
// Registered after a lost session; the engine does not have the move's answer yet.
constexpr Owner next_instance_of(std::size_t engine) { return static_cast<Owner>(2 * engine + 1); }
inline constexpr Owner kFailed = 2 * kMaxEngines;  // an instance whose lock is free
inline constexpr Owner kNobody = kFailed + 1;      // an instance without a row
inline constexpr Owner kUndone = kNobody + 1;      // no claim: a crash has lost it, and its number can come again (Mistake)

inline constexpr std::int8_t kAbsent = -1;
struct Claim {
    Owner owner = kNobody;
    Source from = Source::kQueue;                                               // where its messages were, if a crash may undo it
    bool durable = true;                                                        // no crash can lose it
    std::array<std::int8_t, kMaxMessages> attempts{kAbsent, kAbsent, kAbsent};  // of each message, as at the claim
    std::array<std::uint8_t, kMaxMessages> generations{};

    bool operator==(const Claim&) const = default;
};

enum class Phase : std::uint8_t {
    kArriving,  // its claim has committed; the answer is not here
    kWaiting,   // the engine has it, and no answer from the receiver
    kDelivered,
    kRetry,
    kDead,
    kDeferred,
    kHeld,  // its endpoint cannot take it soon
    kReleased,
};

inline constexpr std::uint8_t kGone = 255;  // a claim that is no more: nothing will ever match it
// A delivery in an engine's memory: not answered yet, or with its outcome not known to be recorded.
struct Item {
    std::uint8_t message = 0;
    std::uint8_t claim = kGone;
    Phase phase = Phase::kWaiting;
    bool recording = false;     // the record has committed; its answer is not here
    std::uint8_t attempts = 0;  // core::Delivery's while it waits, then core::Outcome's
    std::uint8_t generation = 0;

    bool operator==(const Item&) const = default;
    auto operator<=>(const Item&) const = default;
};

enum class Life : std::uint8_t { kOff, kUp, kFrozen, kDying };  // dying = ended, but PostgreSQL may still have a request of its
enum class ListenSession : std::uint8_t {                       // the listen session
    kNone,
    kUp,
    kBroken,  // gone, and the engine has not noticed
    kDown,
    kNew,     // registered anew, claims not moved
    kMoving,  // the move has committed; its answer is not here
};

// As messaging._endpoint_state has it; missing = no row.
enum class Endpoint : std::uint8_t { kActive, kBacklogged, kFailing, kDisabled, kMissing };
// Its messages go through the hold, from which engines claim them.
constexpr bool is_sent_from_hold(Endpoint endpoint) {
    return endpoint == Endpoint::kBacklogged || endpoint == Endpoint::kFailing;
}

// What an engine has found of the endpoint, and has not written yet.
enum class Finding : std::uint8_t { kNone, kFailing, kRecovered, kAnsweredGone };
// The state that a reading of the endpoint has seen; the engine does not have its answer yet.
enum class Reading : std::uint8_t { kNone, kWell, kFailing, kDisabled, kMissing };

struct Engine {
    Life life = Life::kOff;
    ListenSession listen_session = ListenSession::kNone;
    bool row = false;  // of instance_of()
    bool breaker_open = false;
    bool read_failing = false;  // the state that it has read last
    Finding finding = Finding::kNone;
    Reading reading = Reading::kNone;
    std::uint8_t item_count = 0;
    std::array<Item, kMaxItems> items{};
    std::array<std::uint8_t, kMaxClaims> open{};  // engine::OpenClaims: deliveries not recorded, by claim; 0 = not known

    bool operator==(const Engine&) const = default;
};

struct State {
    bool running = true;
    bool crashes = false;  // PostgreSQL may crash: only then is it of interest which claims are durable
    Endpoint endpoint = Endpoint::kActive;
    std::uint8_t faults = 0;  // deaths, freezes, crashes, lost sessions and lost answers so far
    std::uint8_t wishes = 0;  // re-sends, deleted rows and truncations so far
    std::uint8_t claim_count = 0;
    std::array<Message, kMaxMessages> messages{};
    std::array<Claim, kMaxClaims> claims{};
    std::array<Engine, kMaxEngines> engines{};

    bool operator==(const State&) const = default;
};

// The ledger says that the message is not resolved.
inline bool is_open(const State& state, const Claim& claim, std::size_t message) {
    const Message& row = state.messages[message];
    return claim.owner != kUndone && claim.attempts[message] == static_cast<std::int8_t>(row.attempts) && row.inserted &&
           !row.sent && claim.generations[message] == row.generation;
}

// Its outcome may fail, or be put off: its claim is in the ledger.
inline bool is_fenced_off(const State& state, const Item& item) {
    return item.claim == kGone || state.claims[item.claim].owner == kUndone;
}

inline bool is_outcome(const Item& item) { return item.phase > Phase::kWaiting; }
inline bool holds_lock(const Engine& engine) { return engine.listen_session == ListenSession::kUp; }

}  // namespace messaging::model
