// Tells a statement's own error from a PostgreSQL that cannot be reached.
#pragma once

#include "core/result.h"

namespace messaging::engine {

// True where one row may have made the statement fail, so that smaller batches find it. A trigger of the application can raise
// any SQLSTATE: class 08 where it calls another server that is down, class 40 where it conflicts. The session lives on then.
inline bool may_lie_in_one_row(const core::Error& error) {
    return error.kind != core::ErrorKind::kUnavailable || error.sqlstate.starts_with("08") || error.sqlstate.starts_with("40");
}

}  // namespace messaging::engine
