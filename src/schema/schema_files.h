// The schema against the migrations: one statement compares them, for the migrator and for the start of serve.
#pragma once

#include <string>
#include <vector>

#include "core/completion.h"
#include "core/result.h"
#include "pg/connection.h"

namespace messaging::schema {

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

// The repeatable files of `directory`/functions, in the order of their names, as one text: functions and triggers. They are
// applied together whenever the text changes. No folder: nothing.
core::Result<std::string> read_functions(const std::string& directory);

struct SchemaFiles {
    std::vector<Migration> migrations;
    std::string functions;
};
// Both of them.
core::Result<SchemaFiles> read_schema(const std::string& directory);

// kInvalid: a file has a bad name, a version is missing or double, a .down.sql is missing. Sorted by version.
core::Result<std::vector<Migration>> read_migrations(const std::string& directory);

// Creates schema messaging and the tables that remember what was applied, where they are missing.
extern const char* const kCreateSchemaTable;
// Answers one row: whether messaging._migration exists, and whether the database has the layout of before the first release.
extern const pg::Statement kLookForSchema;
// Takes compare_params(); read_comparison() reads its rows.
extern const pg::Statement kCompareSchema;
// $1: the functions' text. Answers one row: whether it was applied.
extern const pg::Statement kCompareFunctions;
pg::Params compare_params(const std::vector<Migration>& migrations);
// kConflict: an applied file was edited, or is missing; the message names it and says what to do.
core::Result<std::vector<MigrationStatus>> read_comparison(const pg::Rows& rows);
// Reads kLookForSchema's row. kConflict: the old layout.
core::Result<bool> read_existence(const pg::Rows& rows);

// Loop only; `done` once, later. kConflict: as above, or migrations are pending; the message names the command.
void check_schema(pg::Connection& connection, const SchemaFiles& files, const core::Completion<core::Unit>& done);

}  // namespace messaging::schema
