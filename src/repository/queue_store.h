// PgQueueStore: claiming and recording in PostgreSQL; implements service::QueueStore.
#pragma once

#include "pg/connection.h"
#include "service/queue_store.h"

namespace messaging::repository {

inline constexpr std::size_t kMaxErrorBytes = 500;  // of a reason that is kept

// Loop thread only. The sessions must outlive it: claims run on one and records on the other, so that a record's fsync never
// delays a claim.
class PgQueueStore : public service::QueueStore {
public:
    // `receipts`: each recorded batch waits in PostgreSQL until Redis has its receipts.
    PgQueueStore(pg::Connection& claim_session, pg::Connection& record_session, bool receipts = true)
        : claim_(claim_session), record_(record_session), receipts_(receipts) {}

    void claim_ready(const service::ClaimRequest& request, service::Completion<service::ClaimBatch> done) override;
    void claim_due(const service::ClaimRequest& request, service::Completion<service::ClaimBatch> done) override;
    void peek(service::Source source, service::QueuePosition behind,
              service::Completion<std::optional<core::MessageId>> done) override;
    void dead_letter(service::Source source, core::MessageId id, const std::string& reason,
                     service::Completion<core::Nothing> done) override;
    void return_orphans(core::InstanceId instance_id, std::vector<core::ClaimId> known, std::vector<core::MessageId> held,
                        service::Completion<service::OrphanCount> done) override;
    void record(service::RecordRequest request, service::Completion<service::RecordResult> done) override;
    void find_unlocked(std::vector<core::MessageId> ids, service::Completion<std::vector<core::MessageId>> done) override;
    void load_endpoints(service::Completion<std::vector<core::Endpoint>> done) override;

private:
    pg::Connection& claim_;
    pg::Connection& record_;
    const bool receipts_;
};

}  // namespace messaging::repository
