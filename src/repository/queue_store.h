// PgQueueStore: claiming and recording in PostgreSQL; implements service::QueueStore.
#pragma once

#include "pg/connection.h"
#include "service/queue_store.h"

namespace messaging::repository {

// Loop thread only. The sessions must outlive it: claims run on one and records on the other, so that a record's fsync never
// delays a claim.
class PgQueueStore : public service::QueueStore {
public:
    PgQueueStore(pg::Connection& claim_session, pg::Connection& record_session)
        : claim_(claim_session), record_(record_session) {}

    void claim_ready(const service::ClaimRequest& request, service::Completion<service::ClaimBatch> done) override;
    void claim_due(const service::ClaimRequest& request, service::Completion<service::ClaimBatch> done) override;
    void return_orphans(core::InstanceId instance_id, std::vector<core::ClaimId> known,
                        service::Completion<std::size_t> done) override;
    void record(service::RecordRequest request, service::Completion<service::RecordResult> done) override;
    void load_endpoints(service::Completion<std::vector<core::Endpoint>> done) override;

private:
    pg::Connection& claim_;
    pg::Connection& record_;
};

}  // namespace messaging::repository
