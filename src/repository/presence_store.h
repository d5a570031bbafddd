// PgPresenceStore: an instance's life in PostgreSQL, on the session that listens; implements service::PresenceStore.
#pragma once

#include "pg/connection.h"
#include "service/queue_store.h"

namespace messaging::repository {

// Loop thread only. The session must outlive it.
class PgPresenceStore : public service::PresenceStore {
public:
    explicit PgPresenceStore(pg::Connection& bell_session) : bell_(bell_session) {}

    void register_instance(const std::string& name, const std::string& session_tag,
                           service::Completion<core::InstanceId> done) override;
    void move_claims(core::InstanceId to, std::vector<core::ClaimId> claims,
                     service::Completion<std::vector<core::ClaimId>> done) override;
    void heartbeat(core::InstanceId instance_id, int in_flight, service::Floor floor,
                   service::Completion<core::Nothing> done) override;
    void read_state(service::Completion<bool> done) override;
    void look_at_others(core::InstanceId me, std::chrono::milliseconds silence,
                        service::Completion<std::vector<service::InstanceSign>> done) override;
    void end_sessions(std::vector<core::InstanceId> hung, service::Completion<std::size_t> done) override;
    void reclaim(core::InstanceId me, std::vector<core::InstanceId> failed, std::chrono::milliseconds delay, bool counted,
                 service::Completion<service::Reclaimed> done) override;
    void unregister_instance(core::InstanceId instance_id, service::Completion<core::Nothing> done) override;

private:
    pg::Connection& bell_;
};

}  // namespace messaging::repository
