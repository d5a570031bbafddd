// Errors of libpq and PostgreSQL as core::Error.
#pragma once

#include <libpq-fe.h>

#include "core/result.h"

namespace messaging::pg {

// True: the error would come again on this session, and not on a new one. Somebody has altered a column's type under a prepared
// statement ("cached plan must not change result type", in whatever language), or the session is read only.
bool needs_new_session(const PGresult* result);

// The connection's last error, on one line. libpq never puts a password into it.
core::Error connection_error(const PGconn* conn);
// The server's refusal of a statement: its primary message and SQLSTATE.
core::Error result_error(const PGresult* result);

}  // namespace messaging::pg
