// The checks of the doctor that are one SQL statement each.
#pragma once

#include <vector>

#include "pg/params.h"
#include "schema/doctor.h"

namespace messaging::schema {

struct SqlCheck {
    const char* name;
    const char* all_well;  // the finding where the statement answers no row
    const char* sql;       // answers (level, text, advice), level being 'ok', 'warning' or 'error'
    pg::Params params;
};

// Of the server and of the role; they need no schema.
std::vector<SqlCheck> server_checks();
// Of the schema, its contents, and what endangers them.
std::vector<SqlCheck> schema_checks(const DoctorLimits& limits);

}  // namespace messaging::schema
