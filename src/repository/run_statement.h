// Running a unit of work and turning its rows into a value: the plumbing of every repository, once.
#pragma once

#include <utility>
#include <vector>

#include "core/result.h"
#include "pg/connection.h"
#include "engine/queue_store.h"

namespace messaging::repository {

// `read` gets one Rows per step and answers the value; it runs only when PostgreSQL has committed.
template <typename T, typename Read>
void run_unit(pg::Connection& connection, const pg::Steps& steps, core::Completion<T> done, Read read) {
    connection.execute(steps, [done = std::move(done), read = std::move(read)](core::Result<std::vector<pg::Rows>> rows) {
        if (rows) {
            done(read(rows.value()));
        } else {
            done(rows.error());
        }
    });
}

// For statements whose rows say nothing.
inline core::Nothing nothing(const pg::Rows&) { return {}; }

template <typename T, typename Read>
void run_one(pg::Connection& connection, const pg::Statement& statement, pg::Params params, core::Completion<T> done,
             Read read) {
    run_unit<T>(connection, {{&statement, std::move(params)}}, std::move(done),
                [read = std::move(read)](std::vector<pg::Rows>& rows) -> core::Result<T> { return read(rows.front()); });
}

}  // namespace messaging::repository
