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

// A time by PostgreSQL's clock, since 1970. Claims of due messages begin at such a time.
using DueTime = std::chrono::microseconds;
inline constexpr DueTime kNeverDue{std::chrono::years(1000)};  // since 1970: later than any due_at

// The places of unclaimed messages. Claims from them take turns, in this order.
enum class Source { kReady, kDue, kHeld };
inline constexpr std::size_t kSources = 3;

struct ClaimRequest {
    core::InstanceId instance_id = 0;
    core::ClaimId claim_id = 0;                        // a random number; the engine uses it once
    QueuePosition behind;                              // ready claims: only rows behind it; xid 0 = a full scan
    int limit = 0;                                     // > 0
    std::optional<core::MessageId> only;               // claim this message alone
    Xid until = kLastXid;                              // ready claims: only rows of transactions up to this one
    DueTime due_from{0};                               // due claims: only rows due at this time or later; 0 = a full scan
    std::vector<core::EndpointCapacity> capacities{};  // held claims: for the endpoints that the engine is sending to
    int other_capacity = 0;                            // held claims: for each other endpoint
    core::EndpointId after = 0;                        // held claims: start after this endpoint id and wrap around
};

struct ClaimBatch {
    std::vector<core::Delivery> deliveries;
    std::size_t taken = 0;  // entries that the claim has removed, also those that became no delivery
    std::size_t dead = 0;   // dead-lettered by the claim: no such endpoint or event, or `attempts` cannot be counted further
    QueuePosition last;     // ready claims: the position of the last entry taken, if any was
    Snapshot snapshot;      // ready claims: of the claim's transaction
    bool holding = false;   // ready claims: messages were moved to the hold; due claims: the hold may have messages to claim
    bool running = true;    // the service state at the time of the claim; stopped = nothing was claimed
    DueTime now{0};         // due claims: PostgreSQL's time
    DueTime last_due{0};    // due claims: the time of the last entry taken, if any was
    std::optional<std::chrono::milliseconds> next_due;  // due claims: time until the next scheduled message
};

struct OrphanCount {
    std::size_t unknown = 0;        // messages of claims whose answer was lost
    std::size_t not_in_memory = 0;  // messages of known claims that are not in memory: a defect of the engine
};

// Loop thread only. Every call is safe to repeat.
class ClaimStore {
public:
    virtual ~ClaimStore() = default;

    virtual void claim_ready(const ClaimRequest& request, core::Completion<ClaimBatch> done) = 0;
    virtual void claim_due(const ClaimRequest& request, core::Completion<ClaimBatch> done) = 0;
    // Claims messages of backlogged and failing endpoints, for each endpoint in the order of the messages' ids. A backlogged
    // endpoint that has capacity and no more messages in the hold becomes active.
    virtual void claim_held(const ClaimRequest& request, core::Completion<ClaimBatch> done) = 0;
    // Looks up the first message that this claim from `source` would take. Locks nothing.
    virtual void peek(Source source, const ClaimRequest& claim, core::Completion<std::optional<core::MessageId>> done) = 0;
    // Moves this message, which cannot be claimed, from `source` to the dead letters.
    virtual void dead_letter(Source source, core::MessageId id, const std::string& reason, core::Completion<core::Unit> done) = 0;
    // Reschedules orphans: schedules, due now, the messages that the ledger names as this instance's and that the engine does not
    // have in memory. These are the messages of claims that the engine does not know, because their answer was lost, and messages
    // of known claims that are not among `in_memory`.
    virtual void reschedule_orphans(core::InstanceId instance_id, std::vector<core::ClaimId> known,
                                    std::vector<core::MessageId> in_memory, core::Completion<OrphanCount> done) = 0;
};

}  // namespace messaging::engine
