// Applying and undoing migrations.
#include "schema/migrator.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "core/sqlstate.h"
#include "schema/start_check.h"

namespace messaging::schema {
namespace {

// Key of the advisory lock: one migrator at a time in a database.
constexpr const char* kTryLock = "SELECT pg_try_advisory_lock(772, -1)";
constexpr std::chrono::milliseconds kLockPoll{200};
constexpr std::chrono::seconds kLockPatience{60};

// $1, $2, $3: version, name and text.
constexpr const char* kRecordUp = R"sql(
INSERT INTO messaging._migration (version, name, checksum)
VALUES ($1::int, $2::text, encode(sha256(convert_to($3::text, 'UTF8')), 'hex')))sql";
// The functions' checksum goes too: a trigger goes with its table, and `up` must make it again.
constexpr const char* kRecordDown = R"sql(
WITH forgotten AS (DELETE FROM messaging._function_file)
DELETE FROM messaging._migration WHERE version = $1::int)sql";
constexpr const char* kRecordFunctions = R"sql(
INSERT INTO messaging._function_file (checksum) VALUES (encode(sha256(convert_to($1::text, 'UTF8')), 'hex'))
ON CONFLICT (only_row) DO UPDATE SET checksum = excluded.checksum, applied_at = now())sql";
constexpr const char* kNoTransaction = "-- no transaction\n";
// A migration that waits for a table's lock makes everybody behind it wait too.
constexpr const char* kBegin = "BEGIN; SET LOCAL lock_timeout = '10s'";
constexpr const char* kServer =
    "SELECT current_setting('server_encoding'), current_setting('server_version_num')::int, pg_backend_pid()";
constexpr int kMinServerVersion = 130000;  // xid8
constexpr const char* kContentLimit = R"sql(
SELECT substring(pg_get_constraintdef(oid) FROM '(?:<= |AND |, )([0-9]+)')::bigint
FROM pg_constraint WHERE conname = 'messages_content_bytes' AND conrelid = 'public.messages'::regclass)sql";

core::Error conflict(std::string message) { return {core::ErrorKind::kConflict, std::move(message)}; }

core::Error named(const std::string& file, const core::Error& error) {
    const char* const advice = error.sqlstate == core::kLockNotAvailable
                                   ? ": another transaction has locked a table for 10 s. This file has changed nothing; end that "
                                     "transaction, and run the command again"
                                   : "";
    return {error.kind, file + ": " + error.message + advice, ""};
}

// The statements of a file that runs without a transaction: each ends with a semicolon at the end of its line.
std::vector<std::string> split_statements(const std::string& sql) {
    std::vector<std::string> statements;
    std::size_t begin = 0;
    for (std::size_t end = sql.find(";\n"); end != std::string::npos; end = sql.find(";\n", begin)) {
        statements.push_back(sql.substr(begin, end - begin));
        begin = end + 2;
    }
    if (sql.find_first_not_of(" \n", begin) != std::string::npos) statements.push_back(sql.substr(begin));
    return statements;
}

// Every running engine holds its instance lock.
constexpr const char* kRunningEngines = R"sql(
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 772 AND objsubid = 2 AND mode = 'ExclusiveLock' AND granted
  AND pid <> pg_backend_pid() AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))sql";
constexpr const char* kHasMessages = "SELECT to_regclass('public.messages') IS NOT NULL";
constexpr const char* kAnyMessage = "SELECT EXISTS (SELECT FROM public.messages)";

}  // namespace

core::Result<core::Unit> Migrator::lock() {
    for (auto waited = kLockPoll; waited < kLockPatience; waited += kLockPoll) {
        const auto locked = session_.execute(kTryLock);
        if (!locked) return locked.error();
        if (locked->boolean(0, 0)) return core::Unit{};
        std::this_thread::sleep_for(kLockPoll);
    }
    return conflict("another migration has been running for a minute");
}

core::Result<bool> Migrator::exists() {
    const auto rows = session_.execute(kLookForSchema.sql);
    if (!rows) return rows.error();
    return read_existence(rows.value());
}

core::Result<std::vector<MigrationStatus>> Migrator::status() {
    const auto found = exists();
    if (!found) return found.error();
    if (!found.value()) {
        std::vector<MigrationStatus> none;
        for (const Migration& migration : files_.migrations) none.push_back({migration.name, false, ""});
        return none;
    }
    const auto rows = session_.execute(kCompareSchema.sql, compare_params(files_.migrations));
    if (!rows) return rows.error();
    return read_comparison(rows.value());
}

core::Result<std::size_t> Migrator::count_applied() {
    const auto all = status();
    if (!all) return all.error();
    return static_cast<std::size_t>(std::count_if(all->begin(), all->end(), [](const auto& one) { return one.applied; }));
}

// Every function file again when one of them has changed: they are written to be repeated.
core::Result<bool> Migrator::apply_functions() {
    if (files_.functions.empty()) return false;
    pg::Params params;
    params.text(files_.functions);
    const auto same = session_.execute(kCompareFunctions.sql, params);
    if (!same) return same.error();
    if (same->boolean(0, 0)) return false;
    const auto outcome = run(files_.functions, kRecordFunctions, params);
    if (!outcome) return named("functions", outcome.error());
    return true;
}

core::Result<core::Unit> Migrator::run(const std::string& sql, const char* record, const pg::Params& params) {
    return sql.starts_with(kNoTransaction) ? run_one_by_one(sql, record, params) : run_in_transaction(sql, record, params);
}

core::Result<core::Unit> Migrator::run_one_by_one(const std::string& sql, const char* record, const pg::Params& params) {
    for (const std::string& statement : split_statements(sql)) {
        auto outcome = session_.execute_script(statement);
        if (!outcome) return outcome;
    }
    const auto recorded = session_.execute(record, params);
    return recorded ? core::Result<core::Unit>(core::Unit{}) : recorded.error();
}

core::Result<core::Unit> Migrator::run_in_transaction(const std::string& sql, const char* record, const pg::Params& params) {
    auto outcome = session_.execute_script(kBegin);
    if (outcome) outcome = session_.execute_script(sql);
    if (outcome) {
        const auto recorded = session_.execute(record, params);
        if (!recorded) outcome = recorded.error();
    }
    if (outcome) return session_.execute_script("COMMIT");
    const auto rolled_back = session_.execute_script("ROLLBACK");
    return rolled_back ? outcome : rolled_back;
}

core::Result<core::Unit> Migrator::check_server() {
    const auto server = session_.execute(kServer);
    if (!server) return server.error();
    if (server->text(0, 0) != "UTF8") {
        return conflict("the database's encoding is " + std::string(server->text(0, 0)) +
                        ", and webhooks carry UTF-8: create one with `createdb -T template0 -E UTF8`");
    }
    if (server->integer(0, 1) < kMinServerVersion) return conflict("the server is older than PostgreSQL 13: use a newer one");
    // The lock is a session's: a pooler would leave it behind in one of its own.
    if (server->integer(0, 2) != session_.backend_pid()) {
        return pooler_error();
    }
    return core::Unit{};
}

core::Result<std::vector<std::string>> Migrator::up() {
    if (const auto checked = check_server(); !checked) return checked.error();
    if (const auto locked = lock(); !locked) return locked.error();
    if (const auto found = exists(); !found) return found.error();
    if (const auto created = session_.execute_script(kCreateSchemaTable); !created) return created.error();
    const auto applied = count_applied();
    if (!applied) return applied.error();
    std::vector<std::string> names;
    for (std::size_t i = applied.value(); i < files_.migrations.size(); ++i) {
        const Migration& migration = files_.migrations[i];
        pg::Params params;
        params.integer(migration.version).text(migration.name).text(migration.up);
        const auto outcome = run(migration.up, kRecordUp, params);
        if (!outcome) return named(migration.name + ".up.sql", outcome.error());
        names.push_back(migration.name);
    }
    const auto functions = apply_functions();
    if (!functions) return functions.error();
    if (functions.value()) names.emplace_back("functions");
    return names;
}

// What a step down would take away.
core::Result<core::Unit> Migrator::check_harmless() {
    const auto engines = session_.execute(kRunningEngines);
    if (!engines) return engines.error();
    if (engines->bigint(0, 0) > 0) return conflict("an engine is running: stop it first, or repeat this with --force");
    const auto has_messages = session_.execute(kHasMessages);
    if (!has_messages) return has_messages.error();
    if (!has_messages->boolean(0, 0)) return core::Unit{};
    const auto messages = session_.execute(kAnyMessage);
    if (!messages) return messages.error();
    if (!messages->boolean(0, 0)) return core::Unit{};
    return conflict(
        "there are messages, which would lose their places or be deleted: dump them first, and repeat this with --force");
}

core::Result<std::vector<std::string>> Migrator::down(bool force) {
    if (const auto checked = check_server(); !checked) return checked.error();
    if (const auto locked = lock(); !locked) return locked.error();
    const auto applied = count_applied();
    if (!applied) return applied.error();
    if (applied.value() == 0) return std::vector<std::string>{};
    if (!force) {
        if (const auto harmless = check_harmless(); !harmless) return harmless.error();
    }
    const Migration& migration = files_.migrations[applied.value() - 1];
    pg::Params params;
    params.integer(migration.version);
    const auto outcome = run(migration.down, kRecordDown, params);
    if (!outcome) return named(migration.name + ".down.sql", outcome.error());
    return std::vector<std::string>{migration.name};
}

core::Result<core::Unit> Migrator::align_content_limit(std::size_t max_content_bytes) {
    const auto rows = session_.execute(kContentLimit);
    if (!rows) return rows.error();
    const auto now = rows->size() == 1 && !rows->is_null(0, 0) ? static_cast<std::size_t>(rows->bigint(0, 0)) : 0;
    if (now == max_content_bytes) return core::Unit{};
    // Raised, every row there satisfies it already. Lowered, the rows are checked, because an UPDATE of one that breaks it
    // would fail: a message must never become unrecordable.
    const std::string limit = std::to_string(max_content_bytes);
    const std::string unchecked = max_content_bytes > now ? " NOT VALID" : "";
    auto altered = session_.execute_script(
        "SET lock_timeout = '10s'; ALTER TABLE public.messages DROP CONSTRAINT messages_content_bytes, ADD CONSTRAINT "
        "messages_content_bytes "
        "CHECK (octet_length(content) >= 1 AND octet_length(content) <= " +
        limit + ")" + unchecked +
        "; ALTER TABLE messaging.events DROP CONSTRAINT events_data_bytes, ADD CONSTRAINT events_data_bytes "
        "CHECK (octet_length(data::text) >= 1 AND octet_length(data::text) <= " +
        limit + ")" + unchecked);
    if (altered) return altered;
    if (altered.error().sqlstate == "23514") {
        return conflict("MAX_CONTENT_BYTES cannot be lowered to " + limit + ": there are messages or events that are longer");
    }
    return altered;
}

}  // namespace messaging::schema
