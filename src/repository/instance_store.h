// PgInstanceStore: an instance's row, lock and claims in PostgreSQL, on the listen session; implements engine::InstanceStore.
#pragma once

#include "core/completion.h"
#include "engine/instance_store.h"
#include "engine/queue_position.h"
#include "pg/connection.h"

namespace messaging::repository {

// Loop thread only. The session must outlive it.
class PgInstanceStore : public engine::InstanceStore {
public:
    explicit PgInstanceStore(pg::Connection& listen_session) : listen_(listen_session) {}

    void register_instance(const std::string& name, const std::string& session_tag,
                           core::Completion<core::InstanceId> done) override;
    void move_claims(core::InstanceId to, std::vector<core::ClaimId> claims,
                     core::Completion<std::vector<core::ClaimId>> done) override;
    void heartbeat(core::InstanceId instance_id, int in_flight, engine::Xid floor, core::Completion<bool> done) override;
    void read_state(core::Completion<bool> done) override;
    void check_instances(core::InstanceId me, std::chrono::milliseconds silence,
                         core::Completion<std::vector<engine::LivenessSample>> done) override;
    void end_sessions(std::vector<core::InstanceId> unresponsive, core::Completion<std::size_t> done) override;
    void reclaim(core::InstanceId me, std::vector<core::InstanceId> failed, std::chrono::milliseconds delay, bool counted,
                 core::Completion<engine::Reclaimed> done) override;
    void unregister_instance(core::InstanceId instance_id, core::Completion<core::Unit> done) override;

private:
    pg::Connection& listen_;
};

}  // namespace messaging::repository
