// Tells from a statement's error whether one row may be the cause.
#pragma once

#include "core/result.h"
#include "core/sqlstate.h"

namespace messaging::engine {

// True: one row may be the cause, and smaller batches find it. A trigger of the application can raise
// any SQLSTATE: class 08 where it calls another server that is down, class 40 where it conflicts. The session lives on then.
// kTimeout without a SQLSTATE: the session was ended because PostgreSQL had not answered. A deferred trigger may be the cause: it
// runs at the commit, to which statement_timeout does not apply.
inline bool may_lie_in_one_row(const core::Error& error) {
    return error.kind != core::ErrorKind::kUnavailable || error.sqlstate.starts_with("08") || error.sqlstate.starts_with("40");
}

// True: a row makes the statement fail now and later: SQLSTATE classes 22 and 23, or damaged data.
inline bool lies_in_the_data(const core::Error& error) {
    return error.kind == core::ErrorKind::kInvalid || error.sqlstate == core::kDataCorrupted ||
           error.sqlstate == core::kIndexCorrupted;
}

// True: the statement needed more than the server has, or allows (class 53, as temp_file_limit). A smaller one may succeed.
inline bool is_too_much(const core::Error& error) { return error.sqlstate.starts_with("53"); }

}  // namespace messaging::engine
