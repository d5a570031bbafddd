// PgEventStore: publishing and reading events; implements service::EventStore.
#pragma once

#include <vector>

#include "core/completion.h"
#include "pg/connection.h"
#include "service/event_store.h"

namespace messaging::repository {

inline constexpr int kMaxEventsScanned = 5000;  // for one page, where a filter leaves most of them out

// Loop thread only. The sessions must outlive it: one reads and one writes.
class PgEventStore : public service::EventStore {
public:
    PgEventStore(pg::Connection& reading, pg::Connection& writing) : reading_(reading), writing_(writing) {}

    void list(const service::EventQuery& query, core::Completion<service::EventPage> done) override;
    void get(core::EventId id, core::Completion<service::EventDetail> done) override;
    void publish(const std::vector<service::NewEvent>& events,
                 core::Completion<std::vector<service::CreatedEvent>> done) override;
    void publish_once(const std::vector<service::NewEvent>& events, const service::IdempotencyKey& key,
                      const service::ResponseTemplate& response, core::Completion<service::StoredResponse> done) override;

private:
    pg::Connection& reading_;
    pg::Connection& writing_;
};

}  // namespace messaging::repository
