// PgEndpointStore: the rows of messaging.endpoints; implements engine::EndpointStore.
#pragma once

#include <string>
#include <vector>

#include "core/completion.h"
#include "engine/endpoint_store.h"
#include "pg/connection.h"

namespace messaging::repository {

// Loop thread only. The session must outlive it.
class PgEndpointStore : public engine::EndpointStore {
public:
    explicit PgEndpointStore(pg::Connection& session) : session_(session) {}

    void load_endpoints(core::Completion<std::vector<core::Endpoint>> done) override;
    // Makes the row 'default' equal to the configuration. Answers the URL that the row had; empty where there is no such row.
    void set_default_endpoint(const std::string& url, int max_in_flight, core::Completion<std::string> done);

private:
    pg::Connection& session_;
};

}  // namespace messaging::repository
