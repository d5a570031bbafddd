// ClaimStore: what an engine needs from the database to claim messages. A port; repository implements it.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "core/completion.h"
#include "core/message.h"
#include "engine/queue_position.h"

namespace messaging::engine {

// A time by PostgreSQL's clock, since 1970. Where the schedule is read from.
using DueTime = std::chrono::microseconds;
inline constexpr DueTime kNeverDue{std::chrono::years(1000)};  // since 1970: later than any due_at

// Where unclaimed messages wait. Claims from these take turns, in this order.
enum class Source { kReady, kDue, kHeld };
inline constexpr std::size_t kSources = 3;

struct ClaimRequest {
    core::InstanceId instance_id = 0;
    core::ClaimId claim_id = 0;               // a number that the engine has chosen and uses once
    QueuePosition behind;                     // ready claims: only rows behind it; xid 0 = a full scan
    int limit = 0;                            // > 0
    std::optional<core::MessageId> only;      // this message alone
    Xid until = kLastXid;                     // ready claims: only rows of transactions up to this one
    DueTime due_from{0};                      // due claims: only rows due at this time or later; 0 = a full scan
    std::vector<core::EndpointRoom> rooms{};  // held claims: of the endpoints that the engine is sending to
    int other_room = 0;                       // held claims: of every other endpoint whose messages are held
    core::EndpointId after = 0;               // held claims: begins behind this endpoint, and goes on from the first one
};

struct ClaimBatch {
    std::vector<core::Delivery> deliveries;
    std::size_t taken = 0;  // entries consumed, those whose message is gone, sent, held or dead-lettered included
    std::size_t dead = 0;   // dead-lettered by the claim: no such endpoint, or `attempts` cannot be counted further
    QueuePosition last;     // ready claims: of the furthest entry taken, when any was
    Snapshot snapshot;      // ready claims: what this claim could see
    bool holding = false;   // ready claims: some were moved to the hold; due claims: some may be there to be claimed
    bool running = true;    // the service state at the time of the claim; stopped = nothing was claimed
    DueTime now{0};         // due claims: PostgreSQL's time
    DueTime last_due{0};    // due claims: of the latest entry taken, when any was
    std::optional<std::chrono::milliseconds> next_due;  // due claims: time until the next scheduled message
};

struct OrphanCount {
    std::size_t unknown = 0;        // messages of claims whose answer was lost
    std::size_t not_in_memory = 0;  // of the engine's own claims, and not in its memory: a defect of the engine
};

// Loop thread only. Every call is safe to repeat.
class ClaimStore {
public:
    virtual ~ClaimStore() = default;

    virtual void claim_ready(const ClaimRequest& request, core::Completion<ClaimBatch> done) = 0;
    virtual void claim_due(const ClaimRequest& request, core::Completion<ClaimBatch> done) = 0;
    // Messages of endpoints in state held, in the order of their ids for each. An endpoint for which nothing is held any more,
    // and whose room is not 0, is active again.
    virtual void claim_held(const ClaimRequest& request, core::Completion<ClaimBatch> done) = 0;
    // The message that this claim from `source` would begin with; nothing is locked.
    virtual void peek(Source source, const ClaimRequest& claim, core::Completion<std::optional<core::MessageId>> done) = 0;
    // Moves exactly this message from `source` to the dead letters. For a message that cannot be claimed.
    virtual void dead_letter(Source source, core::MessageId id, const std::string& reason, core::Completion<core::Unit> done) = 0;
    // Reschedules orphans: schedules, due now, the messages that the ledger names as this instance's and that the engine does not
    // have in memory. These are the messages of claims that the engine does not know, because their answer was lost, and messages
    // of known claims that are not among `in_memory`.
    virtual void reschedule_orphans(core::InstanceId instance_id, std::vector<core::ClaimId> known,
                                    std::vector<core::MessageId> in_memory, core::Completion<OrphanCount> done) = 0;
};

}  // namespace messaging::engine
