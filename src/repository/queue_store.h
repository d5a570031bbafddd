// PgQueueStore: claiming and recording in PostgreSQL; implements engine::QueueStore.
#pragma once

#include "pg/connection.h"
#include "engine/queue_store.h"

namespace messaging::repository {

inline constexpr std::size_t kMaxErrorBytes = 500;  // of a reason that is kept

// Loop thread only. The sessions must outlive it: claims run on one and records on the other, so that a record's fsync never
// delays a claim.
class PgQueueStore : public engine::QueueStore {
public:
    // `receipts`: each recorded batch waits in PostgreSQL until Redis has its receipts.
    PgQueueStore(pg::Connection& claim_session, pg::Connection& record_session, bool receipts = true)
        : claim_(claim_session), record_(record_session), receipts_(receipts) {}

    void claim_ready(const engine::ClaimRequest& request, core::Completion<engine::ClaimBatch> done) override;
    void claim_due(const engine::ClaimRequest& request, core::Completion<engine::ClaimBatch> done) override;
    void peek(engine::Source source, engine::QueuePosition behind,
              core::Completion<std::optional<core::MessageId>> done) override;
    void dead_letter(engine::Source source, core::MessageId id, const std::string& reason,
                     core::Completion<core::Nothing> done) override;
    void return_orphans(core::InstanceId instance_id, std::vector<core::ClaimId> known, std::vector<core::MessageId> held,
                        core::Completion<engine::OrphanCount> done) override;
    void record(engine::RecordRequest request, core::Completion<engine::RecordResult> done) override;
    void find_unlocked(std::vector<core::MessageId> ids, core::Completion<std::vector<core::MessageId>> done) override;
    void load_endpoints(core::Completion<std::vector<core::Endpoint>> done) override;

private:
    pg::Connection& claim_;
    pg::Connection& record_;
    const bool receipts_;
};

}  // namespace messaging::repository
