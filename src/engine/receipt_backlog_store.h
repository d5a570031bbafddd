// ReceiptBacklogStore: sent batches whose receipts Redis has not confirmed. A port; repository implements it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/completion.h"
#include "core/message.h"

namespace messaging::engine {

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
    // Moves those of `batches` that belong to the instance `from` to the instance `to`.
    virtual void move_backlog(core::InstanceId from, core::InstanceId to, std::vector<std::int64_t> batches,
                              core::Completion<core::Unit> done) = 0;
};

}  // namespace messaging::engine
