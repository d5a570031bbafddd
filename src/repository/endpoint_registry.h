// PgEndpointRegistry: creating, listing and changing endpoints; implements service::EndpointRegistry.
#pragma once

#include "pg/connection.h"
#include "service/endpoint_registry.h"

namespace messaging::repository {

// Loop thread only. The sessions must outlive it: one reads and one writes, as of PgMessageStore.
class PgEndpointRegistry : public service::EndpointRegistry {
public:
    PgEndpointRegistry(pg::Connection& reading, pg::Connection& writing) : reading_(reading), writing_(writing) {}

    void list(const service::EndpointQuery& query, core::Completion<service::EndpointPage> done) override;
    void get(const service::EndpointRef& endpoint, core::Completion<service::EndpointView> done) override;
    void create(const service::EndpointChanges& endpoint, core::Completion<service::CreatedEndpoint> done) override;
    void create_once(const service::EndpointChanges& endpoint, const service::IdempotencyKey& key,
                     const service::ResponseTemplate& response, core::Completion<service::StoredResponse> done) override;
    void change(const service::EndpointRef& endpoint, const service::EndpointChanges& changes,
                core::Completion<service::EndpointView> done) override;
    void remove(const service::EndpointRef& endpoint, core::Completion<service::EndpointView> done) override;
    void disable(const service::EndpointRef& endpoint, const std::optional<std::string>& reason,
                 core::Completion<service::EndpointView> done) override;
    void enable(const service::EndpointRef& endpoint, core::Completion<service::EndpointView> done) override;
    void find(const std::vector<std::string>& names,
              core::Completion<std::vector<std::optional<core::EndpointId>>> done) override;

private:
    void act(const service::EndpointRef& endpoint, const pg::Statement& statement, pg::Params params,
             core::Completion<service::EndpointView> done);

    pg::Connection& reading_;
    pg::Connection& writing_;
};

}  // namespace messaging::repository
