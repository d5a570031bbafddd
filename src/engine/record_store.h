// RecordStore: what an engine needs from the database to record outcomes. A port; repository implements it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/completion.h"
#include "core/message.h"

namespace messaging::engine {

// One transaction's worth of outcomes. Sorted by message id inside each kind by the store.
struct RecordRequest {
    core::InstanceId instance_id = 0;
    std::vector<core::Outcome> outcomes;
    std::vector<core::ClaimId> finished;          // claims whose every delivery is resolved by now
    std::vector<std::int64_t> confirmed_batches;  // sent batches that Redis has
    std::vector<core::MessageId> suspects;        // messages that reconcile is to look for
};

// A message that is open although its claim is finished.
struct KeptMessage {
    core::ClaimId claim_id = 0;
    core::MessageId id = 0;
};

struct RecordResult {
    std::optional<std::int64_t> sent_batch;  // the batch row written, when anything was newly sent
    std::string sent_at;                     // RFC 3339 UTC, of the batch
    std::vector<core::MessageId> sent;       // newly marked sent: without messages that were marked before
    std::size_t failed = 0;                  // outcomes kRetry and kDead that have changed their rows
    std::vector<core::ClaimId> missing;      // claims of outcomes other than kDelivered that are not in the ledger, sorted
    std::vector<KeptMessage> kept;           // of `finished`: their claims stay in the ledger
};

// Loop thread only. Every call is safe to repeat. It does not use the claim session, so that claims and records do not wait for
// each other.
class RecordStore {
public:
    virtual ~RecordStore() = default;

    // All or nothing. Outcomes other than kDelivered count only where their claim is still in the ledger (fencing), and every
    // outcome only for the message's generation. Claims whose messages are not all resolved are kept.
    virtual void record(RecordRequest request, core::Completion<RecordResult> done) = 0;
    // Those of `ids` whose rows no other session has locked, or that do not exist.
    virtual void find_unlocked(std::vector<core::MessageId> ids, core::Completion<std::vector<core::MessageId>> done) = 0;
};

}  // namespace messaging::engine
