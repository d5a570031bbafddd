// SQLSTATE classes (PostgreSQL documentation, appendix A) in the terms of core::ErrorKind.
#include "pg/errors.h"

#include <string_view>

#include "core/sqlstate.h"
#include "pg/connection.h"

namespace messaging::pg {
namespace {

std::string one_line(std::string_view text) {
    std::string line;
    for (const char c : text) line.push_back(c == '\n' || c == '\t' ? ' ' : c);
    while (!line.empty() && line.back() == ' ') line.pop_back();
    return line;
}

constexpr const char* kPlanIsStale = "0A000";
constexpr const char* kReadOnly = "25006";

}  // namespace

bool needs_new_session(const PGresult* result) {
    const auto field = [result](int code) {
        const char* const text = PQresultErrorField(result, code);
        return std::string_view(text == nullptr ? "" : text);
    };
    // The session was made while the database, or the role, was set to read only, or its host has become a standby.
    if (field(PG_DIAG_SQLSTATE) == kReadOnly) return true;
    // The name of the server's function is not translated, as its message is.
    return field(PG_DIAG_SQLSTATE) == kPlanIsStale && field(PG_DIAG_SOURCE_FUNCTION) == "RevalidateCachedQuery";
}

core::ErrorKind classify_sqlstate(const std::string& sqlstate) {
    using core::ErrorKind;
    if (sqlstate == core::kQueryCanceled || sqlstate == core::kLockNotAvailable) return ErrorKind::kTimeout;
    // 26000: the session did not keep the prepared statement, because its PREPARE failed; the next use prepares it again.
    // 0A000: a statement's result has another type than when it was prepared; the session is made anew (Connection).
    if (sqlstate == "26000" || sqlstate == kPlanIsStale) return ErrorKind::kUnavailable;
    if (sqlstate == "40001" || sqlstate == "40P01" || sqlstate == kReadOnly) return ErrorKind::kUnavailable;
    const std::string_view head = std::string_view(sqlstate).substr(0, 2);
    if (head == "08" || head == "53" || sqlstate.starts_with("57P")) return ErrorKind::kUnavailable;
    if (head == "22" || head == "23") return ErrorKind::kInvalid;
    return ErrorKind::kInternal;
}

core::Error connection_error(const PGconn* conn) {
    std::string message = conn == nullptr ? "out of memory" : one_line(PQerrorMessage(conn));
    if (message.empty()) message = "the connection was closed";
    return {core::ErrorKind::kUnavailable, std::move(message)};
}

core::Error result_error(const PGresult* result) {
    const char* const state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char* const primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const std::string sqlstate = state == nullptr ? "" : state;
    // Without a SQLSTATE libpq made the error itself: the session broke.
    const core::ErrorKind kind = sqlstate.empty() ? core::ErrorKind::kUnavailable : classify_sqlstate(sqlstate);
    return {kind, one_line(primary == nullptr ? PQresultErrorMessage(result) : primary), sqlstate};
}

}  // namespace messaging::pg
