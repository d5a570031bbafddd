// QueueStore: what an engine needs from the database to claim, record and stay alive. A port; repository implements it.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "core/message.h"
#include "core/result.h"
#include "service/death_watch.h"

namespace messaging::service {

template <typename T>
using Completion = std::function<void(core::Result<T>)>;

// PostgreSQL's xid8 as text is carried as a number: rows below the floor cannot be ready.
using Floor = std::uint64_t;

// A place in the queue, which is in the order of (xid, id).
struct QueuePosition {
    Floor xid = 0;
    core::MessageId id = std::numeric_limits<core::MessageId>::min();
};

struct ClaimRequest {
    core::InstanceId instance_id = 0;
    QueuePosition behind;  // only what comes behind it; xid 0 = a sweep
    int limit = 0;         // > 0
};

struct ClaimBatch {
    std::vector<core::Delivery> deliveries;
    std::size_t taken = 0;                              // queue entries consumed, those whose message is gone or sent included
    QueuePosition last;                                 // of the furthest entry taken, when any was
    Floor next_floor = 0;                               // valid as a floor only if taken < limit
    bool running = true;                                // service_state at the time of the claim; stopped = nothing was claimed
    std::optional<std::chrono::milliseconds> next_due;  // due claims only: time until the next scheduled message
};

// One transaction's worth of outcomes. Sorted by message id inside each kind by the store.
struct RecordRequest {
    core::InstanceId instance_id = 0;
    std::vector<core::Outcome> outcomes;
    std::vector<core::ClaimId> finished;          // claims whose every delivery is resolved by now
    std::vector<std::int64_t> confirmed_batches;  // sent batches that Redis has
};

struct RecordResult {
    std::optional<std::int64_t> sent_batch;  // the batch row written, when anything was newly sent
    std::string sent_at;                     // RFC 3339 UTC, of the batch
    std::vector<core::MessageId> sent;       // newly marked sent: a repeat of an old fact is not in here
};

// An abandoned delivery, adopted from a dead instance: its attempts as they were at the dead one's claim.
struct AdoptedDelivery {
    core::MessageId id = 0;
    core::ClaimId claim_id = 0;
    int attempts = 0;
};

// Loop thread only. Every completion comes once, later, never inside the call. All calls are safe to repeat.
// claim*/return_orphans run on one session and record on another, so that neither waits for the other.
class QueueStore {
public:
    virtual ~QueueStore() = default;

    virtual void claim_ready(const ClaimRequest& request, Completion<ClaimBatch> done) = 0;
    virtual void claim_due(const ClaimRequest& request, Completion<ClaimBatch> done) = 0;
    // Puts back what this instance holds in the ledger without knowing it: a claim whose answer was lost.
    virtual void return_orphans(core::InstanceId instance_id, std::vector<core::ClaimId> known, Completion<std::size_t> done) = 0;

    // All or nothing. kRetry and kDead are dropped when their claim is no longer this instance's (fencing);
    // kDelivered is always accepted.
    virtual void record(RecordRequest request, Completion<RecordResult> done) = 0;

    virtual void load_endpoints(Completion<std::vector<core::Endpoint>> done) = 0;
};

// What keeps an instance alive in the eyes of the others; on the session that listens.
class PresenceStore {
public:
    virtual ~PresenceStore() = default;

    // A new instance row, and the session lock that proves it alive.
    virtual void register_instance(const std::string& name, Completion<core::InstanceId> done) = 0;
    // Moves what is still `from`'s to `to`, and answers which claims these are: some may be unknown to the engine.
    virtual void move_claims(core::InstanceId from, core::InstanceId to, Completion<std::vector<core::ClaimId>> done) = 0;
    virtual void heartbeat(core::InstanceId instance_id, int in_flight, Floor floor, Completion<core::Nothing> done) = 0;
    // Reads service_state: true = running.
    virtual void read_state(Completion<bool> done) = 0;
    // What is to be seen of every instance but `me`. Silent = no heartbeat for `silence`.
    virtual void look_at_others(core::InstanceId me, std::chrono::milliseconds silence,
                                Completion<std::vector<InstanceSign>> done) = 0;
    // Ends the sessions that hold these instances' locks; answers how many.
    virtual void end_sessions(std::vector<core::InstanceId> hung, Completion<std::size_t> done) = 0;
    // Takes over the claims of those of `dead` whose lock is still free, and removes their rows; likewise the claims of
    // instances that have no row. `known`: the claims this engine holds already.
    virtual void adopt_dead(core::InstanceId me, std::vector<core::ClaimId> known, std::vector<core::InstanceId> dead,
                            Completion<std::vector<AdoptedDelivery>> done) = 0;
    // Clean end: the row goes, its claims must have been recorded.
    virtual void unregister_instance(core::InstanceId instance_id, Completion<core::Nothing> done) = 0;
};

// Receipts that Redis has not confirmed, read back from the database.
struct BacklogBatch {
    std::int64_t batch_id = 0;
    std::vector<core::Receipt> receipts;
};

class ReceiptBacklogStore {
public:
    virtual ~ReceiptBacklogStore() = default;
    // This instance's batches, oldest first, at most `limit`, without those in `not_these`. A batch whose messages are all gone
    // or sent again, or whose row in the sent log was pruned, has no receipts.
    virtual void read_backlog(core::InstanceId me, std::vector<std::int64_t> not_these, int limit,
                              Completion<std::vector<BacklogBatch>> done) = 0;
    // Makes at most `limit` batches of instances that have no row (any more) this instance's own, and answers how many. Two
    // callers never get the same batch.
    virtual void reclaim_backlog(core::InstanceId me, int limit, Completion<std::size_t> done) = 0;
    // Those of `batches` that are `from`'s become `to`'s.
    virtual void move_backlog(core::InstanceId from, core::InstanceId to, std::vector<std::int64_t> batches,
                              Completion<core::Nothing> done) = 0;
};

}  // namespace messaging::service
