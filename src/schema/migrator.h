// Migrator: the folder of migrations against the database: up, down, status.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "core/result.h"
#include "pg/session.h"
#include "schema/schema_files.h"

namespace messaging::schema {

// Blocking; one thread. Each migration runs in a transaction of its own, and waits 10 s at most for a lock on a table.
// A file whose first line is "-- no transaction" runs statement by statement, for what PostgreSQL refuses in a transaction. Each
// of its statements ends with a semicolon at the end of a line. Where one of them fails the file is run again from its beginning,
// so it must be written to be repeated.
// One migrator works at a time, under an advisory lock that is *polled*: a wait inside pg_advisory_lock would hang against
// CREATE INDEX CONCURRENTLY.
class Migrator {
public:
    Migrator(pg::Session& session, SchemaFiles files) : session_(session), files_(std::move(files)) {}

    // Answers the names applied; "functions" where their files have changed. kConflict: an applied file was edited, or is
    // missing; the message names it. kConflict also where the database is not UTF8, is older than PostgreSQL 13, is behind a
    // pooler, or has the layout of before the first release.
    core::Result<std::vector<std::string>> up();
    // Undoes the newest one; answers its name, or nothing when there is none. Without `force` kConflict where there are messages,
    // or an engine runs.
    core::Result<std::vector<std::string>> down(bool force);
    core::Result<std::vector<MigrationStatus>> status();
    // Makes the CHECKs on messages.content and events.data allow exactly `max_content_bytes`. kConflict: longer ones exist.
    core::Result<core::Unit> align_content_limit(std::size_t max_content_bytes);

private:
    core::Result<bool> exists();
    core::Result<bool> apply_functions();
    core::Result<std::size_t> count_applied();
    core::Result<core::Unit> lock();
    core::Result<core::Unit> check_server();
    core::Result<core::Unit> check_harmless();
    core::Result<core::Unit> run(const std::string& sql, const char* record, const pg::Params& params);
    core::Result<core::Unit> run_one_by_one(const std::string& sql, const char* record, const pg::Params& params);
    core::Result<core::Unit> run_in_transaction(const std::string& sql, const char* record, const pg::Params& params);

    pg::Session& session_;
    SchemaFiles files_;
};

}  // namespace messaging::schema
