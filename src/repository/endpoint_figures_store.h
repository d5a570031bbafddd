// PgEndpointFiguresStore: the figures of endpoints, by the minute; implements engine::EndpointFiguresStore.
#pragma once

#include "engine/endpoint_figures.h"
#include "pg/connection.h"

namespace messaging::repository {

// Loop thread only. The session must outlive it.
class PgEndpointFiguresStore : public engine::EndpointFiguresStore {
public:
    explicit PgEndpointFiguresStore(pg::Connection& session) : session_(session) {}

    void add_figures(std::vector<engine::EndpointFigures> figures, core::Completion<core::Unit> done) override;

private:
    pg::Connection& session_;
};

}  // namespace messaging::repository
