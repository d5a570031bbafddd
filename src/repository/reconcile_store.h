// PgReconcileStore: rounds of messaging._reconcile_round() (migrations/functions/reconcile.sql); implements
// engine::ReconcileStore.
#pragma once

#include "core/completion.h"
#include "engine/reconcile_store.h"
#include "engine/reconciler.h"
#include "pg/connection.h"

namespace messaging::repository {

// Loop thread only. The session must outlive it; a round may take seconds when millions are queued, so only the rounds of the
// replays, which can wait, use this session as well.
class PgReconcileStore : public engine::ReconcileStore {
public:
    explicit PgReconcileStore(pg::Connection& session) : session_(session) {}
    void reconcile(int max_rows, core::Completion<engine::ReconcileRound> done) override;

private:
    pg::Connection& session_;
};

}  // namespace messaging::repository
