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
#include "engine/failure_detector.h"

namespace messaging::engine {

template <typename T>
using Completion = std::function<void(core::Result<T>)>;

// PostgreSQL's xid8 as text is carried as a number: rows below the floor cannot be ready.
using Floor = std::uint64_t;

// A place in the queue, which is in the order of (xid, id).
struct QueuePosition {
    Floor xid = 0;
    core::MessageId id = std::numeric_limits<core::MessageId>::min();
};

// Where unclaimed messages wait.
enum class Source { kReady, kDue };

struct ClaimRequest {
    core::InstanceId instance_id = 0;
    core::ClaimId claim_id = 0;           // a number that the engine has chosen and uses once
    QueuePosition behind;                 // ready claims: only what comes behind it; xid 0 = a sweep
    int limit = 0;                        // > 0
    std::optional<core::MessageId> only;  // this message alone
};

struct ClaimBatch {
    std::vector<core::Delivery> deliveries;
    std::size_t taken = 0;  // entries consumed, those whose message is gone, sent, held or dead-lettered included
    std::size_t dead = 0;   // dead-lettered by the claim: their endpoint does not exist, or their attempts are used up
    QueuePosition last;     // ready claims: of the furthest entry taken, when any was
    Floor next_floor = 0;   // valid as a floor only if taken < limit
    bool running = true;    // the service state at the time of the claim; stopped = nothing was claimed
    std::optional<std::chrono::milliseconds> next_due;  // due claims: time until the next scheduled message
};

struct OrphanCount {
    std::size_t unknown = 0;   // messages of claims whose answer was lost
    std::size_t not_held = 0;  // messages of the engine's own claims that it does not have: a defect of the engine
};

// One transaction's worth of outcomes. Sorted by message id inside each kind by the store.
struct RecordRequest {
    core::InstanceId instance_id = 0;
    std::vector<core::Outcome> outcomes;
    std::vector<core::ClaimId> finished;          // claims whose every delivery is resolved by now
    std::vector<std::int64_t> confirmed_batches;  // sent batches that Redis has
    std::vector<core::MessageId> suspects;        // messages that reconcile is to look for
};

struct RecordResult {
    std::optional<std::int64_t> sent_batch;  // the batch row written, when anything was newly sent
    std::string sent_at;                     // RFC 3339 UTC, of the batch
    std::vector<core::MessageId> sent;       // newly marked sent: a repeat of an old fact is not in here
    std::vector<core::ClaimId> missing;      // claims of outcomes other than kDelivered that are not in the ledger, sorted
    std::vector<core::ClaimId> kept;         // of `finished`: the ledger says that messages of theirs are still open
};

// Loop thread only. Every completion comes once, later, never inside the call. All calls are safe to repeat.
// Claims and return_orphans run on one session and record on another, so that neither waits for the other.
class QueueStore {
public:
    virtual ~QueueStore() = default;

    virtual void claim_ready(const ClaimRequest& request, core::Completion<ClaimBatch> done) = 0;
    virtual void claim_due(const ClaimRequest& request, core::Completion<ClaimBatch> done) = 0;
    // The message that the next claim from there would begin with; nothing is locked.
    virtual void peek(Source source, QueuePosition behind, core::Completion<std::optional<core::MessageId>> done) = 0;
    // Moves exactly this message from there to the dead letters. For a message that cannot be claimed.
    virtual void dead_letter(Source source, core::MessageId id, const std::string& reason, core::Completion<core::Nothing> done) = 0;
    // Schedules, due now, what the ledger says this instance holds and the engine does not: claims that it does not know (their
    // answer was lost), and messages of its claims that are not among `held`.
    virtual void return_orphans(core::InstanceId instance_id, std::vector<core::ClaimId> known, std::vector<core::MessageId> held,
                                core::Completion<OrphanCount> done) = 0;

    // All or nothing. Outcomes other than kDelivered count only where their claim is still in the ledger (fencing), and
    // every outcome only for the message's generation. Claims whose messages are not all resolved are kept.
    virtual void record(RecordRequest request, core::Completion<RecordResult> done) = 0;
    // Those of `ids` whose rows nobody else has locked, or that do not exist. On the record session.
    virtual void find_unlocked(std::vector<core::MessageId> ids, core::Completion<std::vector<core::MessageId>> done) = 0;

    virtual void load_endpoints(core::Completion<std::vector<core::Endpoint>> done) = 0;
};

inline constexpr int kReclaimClaims = 10;    // in one round: the listening session runs it, and hears nothing meanwhile
inline constexpr int kMaxAbandonments = 10;  // engines that may die holding a message before it is dead-lettered

struct Reclaimed {
    std::size_t claims = 0;
    std::size_t messages = 0;  // scheduled again, or dead-lettered
};

// What keeps an instance alive in the eyes of the others; on the session that listens.
class PresenceStore {
public:
    virtual ~PresenceStore() = default;

    // A new instance row, and the session lock that proves it alive.
    // `session_tag`: what the engine's sessions have in their application_name, so that they can be ended.
    virtual void register_instance(const std::string& name, const std::string& session_tag,
                                   core::Completion<core::InstanceId> done) = 0;
    // Makes those of `claims` that nobody has reclaimed the instance `to`'s, and answers which these are.
    virtual void move_claims(core::InstanceId to, std::vector<core::ClaimId> claims,
                             core::Completion<std::vector<core::ClaimId>> done) = 0;
    virtual void heartbeat(core::InstanceId instance_id, int in_flight, Floor floor, core::Completion<core::Nothing> done) = 0;
    // Reads messaging._state: true = running.
    virtual void read_state(core::Completion<bool> done) = 0;
    // What is to be seen of every instance but `me`. Silent = no heartbeat for `silence`.
    virtual void look_at_others(core::InstanceId me, std::chrono::milliseconds silence,
                                core::Completion<std::vector<InstanceSign>> done) = 0;
    // Ends the sessions that hold these instances' locks; answers how many.
    virtual void end_sessions(std::vector<core::InstanceId> hung, core::Completion<std::size_t> done) = 0;
    // Ends the claims of those of `failed` whose lock is still free, and of instances that have no row, at most kReclaimClaims of
    // them. Each message that was open is scheduled, due at once the first time and then after `delay`, doubled
    // each time up to five minutes; after kMaxAbandonments times it is dead-lettered. No attempt is used up: most of them only
    // waited. Not `counted`: no row of messages is written, for where one of them refuses it.
    virtual void reclaim(core::InstanceId me, std::vector<core::InstanceId> failed, std::chrono::milliseconds delay, bool counted,
                         core::Completion<Reclaimed> done) = 0;
    // Clean end: the row goes, its claims must have been recorded.
    virtual void unregister_instance(core::InstanceId instance_id, core::Completion<core::Nothing> done) = 0;
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
                              core::Completion<std::vector<BacklogBatch>> done) = 0;
    // Makes at most `limit` batches of instances that have no row (any more) this instance's own, and answers how many. Two
    // callers never get the same batch.
    virtual void reclaim_backlog(core::InstanceId me, int limit, core::Completion<std::size_t> done) = 0;
    // Those of `batches` that are `from`'s become `to`'s.
    virtual void move_backlog(core::InstanceId from, core::InstanceId to, std::vector<std::int64_t> batches,
                              core::Completion<core::Nothing> done) = 0;
};

}  // namespace messaging::engine
