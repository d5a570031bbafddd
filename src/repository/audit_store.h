// PgAuditStore: the audit of migration 0004; implements service::AuditStore.
#pragma once

#include "pg/connection.h"
#include "service/auditor.h"

namespace messaging::repository {

// Loop thread only. The session must outlive it; a round may take a second when millions are queued, so it is nobody else's.
class PgAuditStore : public service::AuditStore {
public:
    explicit PgAuditStore(pg::Connection& session) : session_(session) {}
    void audit(int max_rows, service::Completion<service::AuditRound> done) override;

private:
    pg::Connection& session_;
};

}  // namespace messaging::repository
