// Times as text in SQL.
#pragma once

#include <string>

namespace messaging::repository {

// SQL for the value of `column` (timestamptz) as a time of RFC 3339 in UTC with microseconds.
inline std::string rfc3339(const std::string& column) {
    return "to_char(" + column + R"sql( AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))sql";
}

}  // namespace messaging::repository
