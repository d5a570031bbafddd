// Errors of libpq and PostgreSQL as core::Error.
#pragma once

#include <libpq-fe.h>

#include "core/result.h"

namespace messaging::pg {

// "cached plan must not change result type": somebody has altered a column's type under a prepared statement.
inline constexpr const char* kPlanIsStale = "0A000";

// The connection's last error, on one line. libpq never puts a password into it.
core::Error connection_error(const PGconn* conn);
// The server's refusal of a statement: its primary message and SQLSTATE.
core::Error result_error(const PGresult* result);

}  // namespace messaging::pg
