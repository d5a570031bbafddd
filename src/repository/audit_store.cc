// One call: the walk itself is the database's.
#include "repository/audit_store.h"

#include "repository/unit.h"

namespace messaging::repository {
namespace {

constexpr pg::Statement kAudit{"audit", "SELECT lost, more FROM messaging_audit($1::int)"};

}  // namespace

void PgAuditStore::audit(int max_rows, service::Completion<service::AuditRound> done) {
    pg::Params params;
    params.integer(max_rows);
    run_one<service::AuditRound>(session_, kAudit, std::move(params), std::move(done), [](const pg::Rows& rows) {
        return service::AuditRound{static_cast<std::size_t>(rows.bigint(0, 0)), rows.boolean(0, 1)};
    });
}

}  // namespace messaging::repository
