// Calls messaging._reconcile_round().
#include "repository/reconcile_store.h"

#include "core/completion.h"
#include "engine/reconcile_store.h"
#include "pg/run_statement.h"

namespace messaging::repository {
namespace {

constexpr pg::Statement kReconcile{
    "reconcile",
    "SELECT lost, wait_ms, ceil(cost_ms)::bigint, ceil(walk_seconds)::bigint FROM messaging._reconcile_round($1::int)"};

}  // namespace

void PgReconcileStore::reconcile(int max_rows, core::Completion<engine::ReconcileRound> done) {
    pg::Params params;
    params.integer(max_rows);
    pg::run_statement<engine::ReconcileRound>(session_, kReconcile, std::move(params), std::move(done), [](const pg::Rows& rows) {
        engine::ReconcileRound round;
        round.found = static_cast<std::size_t>(rows.bigint(0, 0));
        round.wait = std::chrono::milliseconds(rows.bigint(0, 1));
        round.cost = std::chrono::milliseconds(rows.bigint(0, 2));
        if (!rows.is_null(0, 3)) round.walk = std::chrono::seconds(rows.bigint(0, 3));
        return round;
    });
}

}  // namespace messaging::repository
