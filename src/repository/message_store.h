// PgMessageStore: listing, reading, enqueueing, resending and cancelling; implements service::MessageStore.
#pragma once

#include "core/completion.h"
#include "pg/connection.h"
#include "service/message_store.h"

namespace messaging::repository {

// Loop thread only. The sessions must outlive it: one reads and one writes, so that no slow list delays a new message.
class PgMessageStore : public service::MessageStore {
public:
    explicit PgMessageStore(pg::Connection& session) : PgMessageStore(session, session) {}
    PgMessageStore(pg::Connection& reading, pg::Connection& writing) : session_(reading), writing_(writing) {}

    void list(const service::ListQuery& query, core::Completion<service::ListPage> done) override;
    void get(const service::MessageRef& message, core::Completion<service::MessageDetail> done) override;
    void enqueue(std::vector<service::NewMessage> messages, core::Completion<std::vector<service::CreatedMessage>> done) override;
    void enqueue_once(std::vector<service::NewMessage> messages, const service::IdempotencyKey& key,
                      const service::ResponseTemplate& response, core::Completion<service::StoredResponse> done) override;
    void retry(const service::MessageRef& message, core::Completion<service::MessageDetail> done) override;
    void cancel(const service::MessageRef& message, const std::optional<std::string>& reason,
                core::Completion<service::MessageDetail> done) override;

private:
    pg::Connection& session_;
    pg::Connection& writing_;
};

}  // namespace messaging::repository
