// PgEndpointStore: the rows of messaging.endpoints and their secrets; implements engine::EndpointStore and
// service::EndpointSource.
#pragma once

#include <string>
#include <vector>

#include "core/completion.h"
#include "crypto/sealer.h"
#include "engine/endpoint_store.h"
#include "pg/connection.h"
#include "repository/endpoint_loader.h"
#include "service/endpoint_tester.h"

namespace messaging::repository {

// Loop thread only. The session must outlive the store, and the store must outlive the calls that are under way.
class PgEndpointStore : public engine::EndpointStore, public service::EndpointSource {
public:
    explicit PgEndpointStore(pg::Connection& session, crypto::Sealer sealer = {})
        : session_(session), loader_(std::move(sealer)) {}

    // Makes the secrets that are missing, and seals those that are not sealed by the first key. One that cannot be made, or
    // opened, makes its endpoint unusable, and no other one.
    void load_endpoints(core::Completion<std::vector<core::Endpoint>> done) override;
    // The same for one of them.
    void load_endpoint(const service::EndpointRef& endpoint, core::Completion<core::Endpoint> done) override;
    // Makes the row 'default' equal to the configuration. Answers the URL that the row had; empty where there is no such row.
    void set_default_endpoint(const std::string& url, int max_in_flight, core::Completion<std::string> done);

private:
    using Completion = core::Completion<std::vector<core::Endpoint>>;
    struct Round {
        pg::Step read;          // the statement that reads the endpoints
        int more = 0;           // rounds of creating or sealing, and reading again
        std::string refusal{};  // why secrets could not be created
    };
    void load(Round round, Completion done);
    void on_loaded(LoadedEndpoints loaded, Round round, Completion done);
    void seal_secrets(LoadedEndpoints loaded, Round round, Completion done);
    void create_secrets(const std::vector<SecretOwner>& owners, Round round, Completion done);

    pg::Connection& session_;
    EndpointLoader loader_;
};

}  // namespace messaging::repository
