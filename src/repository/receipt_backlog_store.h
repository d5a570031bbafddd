// PgReceiptBacklogStore: sent batches whose receipts Redis has not confirmed; implements engine::ReceiptBacklogStore.
#pragma once

#include "core/completion.h"
#include "engine/receipt_backlog_store.h"
#include "pg/connection.h"

namespace messaging::repository {

// Loop thread only. The session must outlive it.
class PgReceiptBacklogStore : public engine::ReceiptBacklogStore {
public:
    explicit PgReceiptBacklogStore(pg::Connection& session) : session_(session) {}

    void read_backlog(core::InstanceId me, std::vector<std::int64_t> not_these, int limit,
                      core::Completion<std::vector<engine::BacklogBatch>> done) override;
    void reclaim_backlog(core::InstanceId me, int limit, core::Completion<std::size_t> done) override;
    void move_backlog(core::InstanceId from, core::InstanceId to, std::vector<std::int64_t> batches,
                      core::Completion<core::Unit> done) override;

private:
    pg::Connection& session_;
};

}  // namespace messaging::repository
