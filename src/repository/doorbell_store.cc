// The statements of the doorbell's lock on the engine's side. migrations/functions/messages.sql has the inserters' side.
#include "repository/doorbell_store.h"

#include "core/completion.h"
#include "engine/doorbell_store.h"
#include "pg/run_statement.h"

namespace messaging::repository {
namespace {

// When the exclusive lock is refused, the second column says who holds it. True: inserters hold it shared. False: another engine
// holds it exclusively. The shared lock that this statement takes ends with it.
constexpr pg::Statement kTryToSleep{"try_to_sleep", R"sql(
SELECT pg_try_advisory_lock(771, 1) AS mine, pg_try_advisory_xact_lock_shared(771, 1) AS shared)sql"};
constexpr pg::Statement kWakeUp{"wake_up", "SELECT pg_advisory_unlock(771, 1)"};
constexpr pg::Statement kWakePeers{"wake_peers", "SELECT pg_notify('messaging_ready', '')"};

}  // namespace

void PgDoorbellStore::try_to_sleep(core::Completion<engine::SleepAnswer> done) {
    pg::run_statement<engine::SleepAnswer>(listen_, kTryToSleep, {}, std::move(done), [](const pg::Rows& rows) {
        if (rows.boolean(0, 0)) return engine::SleepAnswer::kGranted;
        return rows.boolean(0, 1) ? engine::SleepAnswer::kInsertersOpen : engine::SleepAnswer::kHeldByPeer;
    });
}

void PgDoorbellStore::wake_up(core::Completion<core::Unit> done) {
    pg::run_statement<core::Unit>(listen_, kWakeUp, {}, std::move(done), pg::nothing);
}

void PgDoorbellStore::wake_peers(core::Completion<core::Unit> done) {
    pg::run_statement<core::Unit>(listen_, kWakePeers, {}, std::move(done), pg::nothing);
}

}  // namespace messaging::repository
