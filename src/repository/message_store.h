// PgMessageStore: listing, reading, enqueueing and resending; implements service::MessageStore.
#pragma once

#include "pg/connection.h"
#include "service/message_store.h"

namespace messaging::repository {

inline constexpr int kMaxBatchesPerPage = 500;   // sent batches read for one page
inline constexpr int kMaxEntriesScanned = 1000;  // of the queue, the schedule or the dead, for one page
inline constexpr int kMaxRowsScanned = 5000;     // of one recipient, for one page

// Loop thread only. The session must outlive it.
class PgMessageStore : public service::MessageStore {
public:
    explicit PgMessageStore(pg::Connection& session) : session_(session) {}

    void list(const service::ListQuery& query, service::Completion<service::ListPage> done) override;
    void get(core::MessageId id, service::Completion<std::pair<core::MessageView, std::vector<core::AttemptView>>> done) override;
    void enqueue(std::vector<service::NewMessage> messages, std::optional<service::IdempotencyKey> key,
                 service::Completion<service::EnqueueResult> done) override;
    void retry(core::MessageId id, service::Completion<core::Nothing> done) override;

private:
    pg::Connection& session_;
};

}  // namespace messaging::repository
