// PgReplayStore: the SQL behind /replays (migrations/functions/replays.sql); implements service::ReplayStore.
#pragma once

#include "pg/connection.h"
#include "service/replay_store.h"

namespace messaging::repository {

// Loop thread only. The sessions must outlive it.
class PgReplayStore : public service::ReplayStore {
public:
    PgReplayStore(pg::Connection& reading, pg::Connection& writing) : reading_(reading), writing_(writing) {}

    void list(const service::ReplayQuery& query, core::Completion<service::ReplayPage> done) override;
    void get(core::ReplayId id, core::Completion<service::ReplayView> done) override;
    void count(const service::ReplayFilter& filter, core::Completion<service::Count> done) override;
    void create(const service::ReplayFilter& filter, const std::string& by, core::Completion<service::ReplayView> done) override;
    void create_once(const service::ReplayFilter& filter, const std::string& by, const service::IdempotencyKey& key,
                     const service::ResponseTemplate& response, core::Completion<service::StoredResponse> done) override;
    void cancel(core::ReplayId id, core::Completion<service::ReplayView> done) override;

private:
    pg::Connection& reading_;
    pg::Connection& writing_;
};

}  // namespace messaging::repository
