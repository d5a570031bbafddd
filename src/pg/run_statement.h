// Runs a unit of work and turns its rows into a value. Every repository uses it.
#pragma once

#include <utility>
#include <vector>

#include "core/completion.h"
#include "core/result.h"
#include "pg/connection.h"

namespace messaging::pg {

// `read` gets one Rows per step and answers the value; it runs only when PostgreSQL has committed.
template <typename T, typename Read>
void run_steps(Connection& connection, const Steps& steps, core::Completion<T> done, Read read) {
    connection.execute(steps, [done = std::move(done), read = std::move(read)](core::Result<std::vector<Rows>> rows) {
        if (rows) {
            done(read(rows.value()));
        } else {
            done(rows.error());
        }
    });
}

// For statements whose rows say nothing.
inline core::Unit nothing(const Rows&) { return {}; }

template <typename T, typename Read>
void run_statement(Connection& connection, const Statement& statement, Params params, core::Completion<T> done, Read read) {
    run_steps<T>(connection, {{&statement, std::move(params)}}, std::move(done),
                 [read = std::move(read)](std::vector<Rows>& rows) -> core::Result<T> { return read(rows.front()); });
}

}  // namespace messaging::pg
