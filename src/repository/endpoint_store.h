// PgEndpointStore: the rows of messaging.endpoints and their secrets; implements engine::EndpointStore.
#pragma once

#include <string>
#include <vector>

#include "core/completion.h"
#include "crypto/sealer.h"
#include "engine/endpoint_store.h"
#include "pg/connection.h"
#include "repository/endpoint_loader.h"

namespace messaging::repository {

// Loop thread only. The session must outlive the store, and the store must outlive the calls that are under way.
class PgEndpointStore : public engine::EndpointStore {
public:
    explicit PgEndpointStore(pg::Connection& session, crypto::Sealer sealer = {})
        : session_(session), loader_(std::move(sealer)) {}

    // Makes the secrets that are missing, and seals those that are not sealed by the first key.
    void load_endpoints(core::Completion<std::vector<core::Endpoint>> done) override;
    // Makes the row 'default' equal to the configuration. Answers the URL that the row had; empty where there is no such row.
    void set_default_endpoint(const std::string& url, int max_in_flight, core::Completion<std::string> done);

private:
    using Completion = core::Completion<std::vector<core::Endpoint>>;
    void load(pg::Steps before, int more_rounds, Completion done);
    void on_loaded(LoadedEndpoints loaded, int more_rounds, Completion done);

    pg::Connection& session_;
    EndpointLoader loader_;
};

}  // namespace messaging::repository
