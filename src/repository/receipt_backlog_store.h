// PgReceiptBacklogStore: sent batches whose receipts Redis has not confirmed; implements service::ReceiptBacklogStore.
#pragma once

#include "pg/connection.h"
#include "service/queue_store.h"

namespace messaging::repository {

// Loop thread only. The session must outlive it.
class PgReceiptBacklogStore : public service::ReceiptBacklogStore {
public:
    explicit PgReceiptBacklogStore(pg::Connection& session) : session_(session) {}

    void read_backlog(core::InstanceId me, std::vector<std::int64_t> not_these, int limit,
                      service::Completion<std::vector<service::BacklogBatch>> done) override;
    void reclaim_backlog(core::InstanceId me, int limit, service::Completion<std::size_t> done) override;
    void move_backlog(core::InstanceId from, core::InstanceId to, std::vector<std::int64_t> batches,
                      service::Completion<core::Nothing> done) override;

private:
    pg::Connection& session_;
};

}  // namespace messaging::repository
