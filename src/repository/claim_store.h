// PgClaimStore: claiming messages in PostgreSQL; implements engine::ClaimStore.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/completion.h"
#include "engine/claim_store.h"
#include "pg/connection.h"

namespace messaging::repository {

// Loop thread only. The session must outlive it.
class PgClaimStore : public engine::ClaimStore {
public:
    explicit PgClaimStore(pg::Connection& claim_session) : session_(claim_session) {}

    void claim_ready(const engine::ClaimRequest& request, core::Completion<engine::ClaimBatch> done) override;
    void claim_due(const engine::ClaimRequest& request, core::Completion<engine::ClaimBatch> done) override;
    void claim_held(const engine::ClaimRequest& request, core::Completion<engine::ClaimBatch> done) override;
    void peek(engine::Source source, const engine::ClaimRequest& claim,
              core::Completion<std::optional<core::MessageId>> done) override;
    void dead_letter(engine::Source source, core::MessageId id, const std::string& reason,
                     core::Completion<core::Unit> done) override;
    void reschedule_orphans(core::InstanceId instance_id, std::vector<core::ClaimId> known,
                            std::vector<core::MessageId> in_memory, core::Completion<engine::OrphanCount> done) override;

private:
    void claim(engine::Source source, const engine::ClaimRequest& request, core::Completion<engine::ClaimBatch> done,
               void (*read_more)(const pg::Rows& rows, engine::ClaimBatch& batch));

    pg::Connection& session_;
};

}  // namespace messaging::repository
