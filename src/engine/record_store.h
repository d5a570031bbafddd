// RecordStore: what an engine needs from the database to record outcomes. A port; repository implements it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/completion.h"
#include "core/message.h"

namespace messaging::engine {

// The contents of one record transaction. The store sorts the outcomes of each kind by message id.
struct RecordRequest {
    core::InstanceId instance_id = 0;
    std::vector<core::Outcome> outcomes;
    std::vector<core::ClaimId> finished;          // claims whose deliveries are all resolved
    std::vector<std::int64_t> confirmed_batches;  // sent batches whose receipts Redis has
    std::vector<core::MessageId> suspects;        // messages that reconcile shall check
};

// A message that is open although its claim is finished.
struct KeptMessage {
    core::ClaimId claim_id = 0;
    core::MessageId id = 0;
};

struct RecordResult {
    std::optional<std::int64_t> sent_batch;  // the row of the sent log, if messages were newly marked as sent
    std::string sent_at;                     // the time of that row: RFC 3339, UTC
    std::vector<core::MessageId> sent;       // newly marked as sent: without messages that were marked before
    std::size_t failed = 0;                  // outcomes kRetry and kDead that have changed their rows
    std::vector<core::ClaimId> missing;      // claims of outcomes other than kDelivered that are not in the ledger, sorted
    std::vector<KeptMessage> kept;           // open messages of `finished`: their claims stay in the ledger
};

// Loop thread only. Every call is safe to repeat. It does not use the claim session, so that claims and records do not wait for
// each other.
class RecordStore {
public:
    virtual ~RecordStore() = default;

    // Stores all of it or nothing. An outcome counts only for the message's generation. An outcome other than kDelivered counts
    // only while its claim is in the ledger (the fence). A finished claim with an open message stays in the ledger.
    virtual void record(RecordRequest request, core::Completion<RecordResult> done) = 0;
    // Returns the ids whose rows no other session has locked, and the ids of rows that no longer exist.
    virtual void find_unlocked(std::vector<core::MessageId> ids, core::Completion<std::vector<core::MessageId>> done) = 0;
};

}  // namespace messaging::engine
