// PgDoorbellStore: the advisory lock (771, 1) on the listen session; implements engine::DoorbellStore.
#pragma once

#include "core/completion.h"
#include "engine/doorbell.h"
#include "engine/doorbell_store.h"
#include "pg/connection.h"

namespace messaging::repository {

// Loop thread only. The session must outlive it.
class PgDoorbellStore : public engine::DoorbellStore {
public:
    explicit PgDoorbellStore(pg::Connection& listen_session) : listen_(listen_session) {}
    void try_to_sleep(core::Completion<engine::SleepAnswer> done) override;
    void wake_up(core::Completion<core::Unit> done) override;
    void wake_peers(core::Completion<core::Unit> done) override;

private:
    pg::Connection& listen_;
};

}  // namespace messaging::repository
