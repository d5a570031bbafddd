// The schema against the migrations: one statement compares them, for the migrator and for the start of serve.
#pragma once

#include <string>
#include <vector>

#include "core/result.h"
#include "pg/connection.h"
#include "service/queue_store.h"

namespace messaging::repository {

struct Migration {
    int version = 0;
    std::string name;  // "0001_messages"
    std::string up;    // SQL
    std::string down;
};

struct MigrationStatus {
    std::string name;
    bool applied = false;
    std::string applied_at;  // RFC 3339; empty while pending
};

// kInvalid: a file has a bad name, a version is missing or double, a .down.sql is missing. Sorted by version.
core::Result<std::vector<Migration>> read_migrations(const std::string& directory);

// Creates schema_migrations where it is missing.
extern const char* const kCreateSchemaTable;
// Answers no row where schema_migrations is missing; nothing of it may be read before.
extern const pg::Statement kHasSchemaTable;
// Takes compare_params(); read_comparison() reads its rows.
extern const pg::Statement kCompareSchema;
pg::Params compare_params(const std::vector<Migration>& migrations);
// kConflict: an applied file was edited, or is missing; the message names it and says what to do.
core::Result<std::vector<MigrationStatus>> read_comparison(const pg::Rows& rows);

// Loop only; `done` once, later. kConflict: as above, or migrations are pending; the message names the command.
void check_schema(pg::Connection& connection, const std::vector<Migration>& migrations,
                  const service::Completion<core::Nothing>& done);

}  // namespace messaging::repository
