// PgRecordStore: recording outcomes in PostgreSQL; implements engine::RecordStore.
#pragma once

#include <vector>

#include "core/completion.h"
#include "engine/record_store.h"
#include "pg/connection.h"

namespace messaging::repository {

// Loop thread only. The session must outlive it, and is not the claim session: a record waits for the disk, and a claim must not.
class PgRecordStore : public engine::RecordStore {
public:
    // `receipts`: each recorded batch waits in PostgreSQL until Redis has its receipts.
    explicit PgRecordStore(pg::Connection& record_session, bool receipts = true)
        : session_(record_session), receipts_(receipts) {}

    void record(engine::RecordRequest request, core::Completion<engine::RecordResult> done) override;
    void find_unlocked(std::vector<core::MessageId> ids, core::Completion<std::vector<core::MessageId>> done) override;

private:
    pg::Connection& session_;
    const bool receipts_;
};

}  // namespace messaging::repository
