// Applying and undoing migrations.
#include "repository/migrator.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <thread>

namespace messaging::repository {
namespace {

// Key of the advisory lock: one migrator at a time in a database.
constexpr const char* kTryLock = "SELECT pg_try_advisory_lock(772, -1)";
constexpr std::chrono::milliseconds kLockPoll{200};
constexpr std::chrono::seconds kLockPatience{60};

constexpr const char* kCreateTable = R"sql(
CREATE TABLE IF NOT EXISTS schema_migrations (
    version integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now()))sql";
constexpr const char* kHasTable = "SELECT to_regclass('schema_migrations') IS NOT NULL";
constexpr const char* kReadApplied = R"sql(
SELECT version, name, checksum, to_char(applied_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
FROM schema_migrations ORDER BY version)sql";
constexpr const char* kChecksum = "SELECT encode(sha256(convert_to($1::text, 'UTF8')), 'hex')";
constexpr const char* kRecordUp = "INSERT INTO schema_migrations (version, name, checksum) VALUES ($1::int, $2::text, $3::text)";
constexpr const char* kRecordDown = "DELETE FROM schema_migrations WHERE version = $1::int";
constexpr const char* kContentLimit = R"sql(
SELECT substring(pg_get_constraintdef(oid) FROM '(?:<= |AND |, )([0-9]+)')::bigint
FROM pg_constraint WHERE conname = 'messages_content_bytes' AND conrelid = 'messages'::regclass)sql";

core::Error conflict(std::string message) { return {core::ErrorKind::kConflict, std::move(message), ""}; }
core::Error invalid(std::string message) { return {core::ErrorKind::kInvalid, std::move(message), ""}; }

std::string read_file(const std::filesystem::path& path) {
    std::ifstream stream(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
}

}  // namespace

core::Result<std::vector<Migration>> read_migrations(const std::string& directory) {
    std::error_code failure;
    std::map<int, Migration> found;
    for (const auto& entry : std::filesystem::directory_iterator(directory, failure)) {
        const std::string file = entry.path().filename().string();
        const bool is_up = file.ends_with(".up.sql");
        if (!is_up && !file.ends_with(".down.sql")) continue;
        const std::string name = file.substr(0, file.size() - (is_up ? 7 : 9));
        const bool numbered = name.size() > 5 && name[4] == '_' &&
                              std::all_of(name.begin(), name.begin() + 4, [](char c) { return c >= '0' && c <= '9'; });
        if (!numbered) return invalid("the migration file " + file + " must be named like 0001_name.up.sql");
        Migration& migration = found[std::stoi(name.substr(0, 4))];
        if (!migration.name.empty() && migration.name != name) return invalid("two migrations have the number of " + file);
        migration.version = std::stoi(name.substr(0, 4));
        migration.name = name;
        (is_up ? migration.up : migration.down) = read_file(entry.path());
    }
    if (failure) return invalid("the migrations folder " + directory + " cannot be read: " + failure.message());
    std::vector<Migration> migrations;
    for (auto& [version, migration] : found) {
        if (version != static_cast<int>(migrations.size()) + 1)
            return invalid("a migration before " + migration.name + " is missing");
        if (migration.up.empty() || migration.down.empty()) return invalid(migration.name + " needs an .up.sql and a .down.sql");
        migrations.push_back(std::move(migration));
    }
    if (migrations.empty()) return invalid("there are no migrations in " + directory + ": set MIGRATIONS_DIR");
    return migrations;
}

core::Result<core::Nothing> Migrator::lock() {
    const auto deadline = std::chrono::steady_clock::now() + kLockPatience;
    while (true) {
        const auto locked = session_.execute(kTryLock);
        if (!locked) return locked.error();
        if (locked->boolean(0, 0)) return core::Nothing{};
        if (std::chrono::steady_clock::now() > deadline) return conflict("another migration has been running for a minute");
        std::this_thread::sleep_for(kLockPoll);
    }
}

core::Result<std::string> Migrator::checksum(const std::string& text) {
    pg::Params params;
    params.text(text);
    const auto rows = session_.execute(kChecksum, params);
    if (!rows) return rows.error();
    return std::string(rows->text(0, 0));
}

// What is recorded as applied, checked against the files.
core::Result<std::vector<Migrator::Applied>> Migrator::read_applied() {
    std::vector<Applied> applied;
    const auto exists = session_.execute(kHasTable);
    if (!exists) return exists.error();
    if (!exists->boolean(0, 0)) return applied;
    const auto rows = session_.execute(kReadApplied);
    if (!rows) return rows.error();
    for (int row = 0; row < rows->size(); ++row) {
        applied.push_back({rows->integer(row, 0), std::string(rows->text(row, 1)), std::string(rows->text(row, 2)),
                           std::string(rows->text(row, 3))});
        const Applied& one = applied.back();
        const auto index = static_cast<std::size_t>(one.version - 1);
        if (index >= migrations_.size() || migrations_[index].name != one.name) {
            return conflict("the database has " + one.name + ", which is not in the migrations folder: use a newer version");
        }
        const auto sum = checksum(migrations_[index].up);
        if (!sum) return sum.error();
        if (sum.value() != one.checksum) {
            return conflict("the file " + one.name +
                            ".up.sql was edited after it was applied: restore it, and put the change into a new migration");
        }
    }
    return applied;
}

core::Result<core::Nothing> Migrator::run_in_transaction(const std::string& sql, const char* record, const pg::Params& params) {
    auto outcome = session_.execute_script("BEGIN");
    if (outcome) outcome = session_.execute_script(sql);
    if (outcome) {
        const auto recorded = session_.execute(record, params);
        if (!recorded) outcome = recorded.error();
    }
    if (outcome) return session_.execute_script("COMMIT");
    const auto rolled_back = session_.execute_script("ROLLBACK");
    return rolled_back ? outcome : rolled_back;
}

core::Result<std::vector<std::string>> Migrator::up() {
    if (const auto locked = lock(); !locked) return locked.error();
    if (const auto created = session_.execute_script(kCreateTable); !created) return created.error();
    const auto applied = read_applied();
    if (!applied) return applied.error();
    std::vector<std::string> names;
    for (std::size_t i = applied->size(); i < migrations_.size(); ++i) {
        const Migration& migration = migrations_[i];
        const auto sum = checksum(migration.up);
        if (!sum) return sum.error();
        pg::Params params;
        params.integer(migration.version).text(migration.name).text(sum.value());
        const auto outcome = run_in_transaction(migration.up, kRecordUp, params);
        if (!outcome) return core::Error{outcome.error().kind, migration.name + ".up.sql: " + outcome.error().message, ""};
        names.push_back(migration.name);
    }
    return names;
}

core::Result<std::vector<std::string>> Migrator::down() {
    if (const auto locked = lock(); !locked) return locked.error();
    const auto applied = read_applied();
    if (!applied) return applied.error();
    if (applied->empty()) return std::vector<std::string>{};
    const Migration& migration = migrations_[applied->size() - 1];
    pg::Params params;
    params.integer(migration.version);
    const auto outcome = run_in_transaction(migration.down, kRecordDown, params);
    if (!outcome) return core::Error{outcome.error().kind, migration.name + ".down.sql: " + outcome.error().message, ""};
    return std::vector<std::string>{migration.name};
}

core::Result<std::vector<MigrationStatus>> Migrator::status() {
    const auto applied = read_applied();
    if (!applied) return applied.error();
    std::vector<MigrationStatus> all;
    for (std::size_t i = 0; i < migrations_.size(); ++i) {
        const bool is_applied = i < applied->size();
        all.push_back({migrations_[i].name, is_applied, is_applied ? applied.value()[i].applied_at : ""});
    }
    return all;
}

core::Result<core::Nothing> Migrator::align_content_limit(std::size_t max_content_bytes) {
    const auto rows = session_.execute(kContentLimit);
    if (!rows) return rows.error();
    const auto now = rows->size() == 1 && !rows->is_null(0, 0) ? static_cast<std::size_t>(rows->bigint(0, 0)) : 0;
    if (now == max_content_bytes) return core::Nothing{};
    // Raised, every row there satisfies it already. Lowered, the rows are checked, because an UPDATE of one that breaks it
    // would fail: a message must never become unrecordable.
    const std::string limit = std::to_string(max_content_bytes);
    const auto altered = session_.execute_script(
        "ALTER TABLE messages DROP CONSTRAINT messages_content_bytes, ADD CONSTRAINT messages_content_bytes "
        "CHECK (octet_length(content) >= 1 AND octet_length(content) <= " +
        limit + ")" + (max_content_bytes > now ? " NOT VALID" : ""));
    if (altered) return altered;
    if (altered.error().sqlstate == "23514") {
        return conflict("MAX_CONTENT_BYTES cannot be lowered to " + limit + ": there are messages with longer contents");
    }
    return altered;
}

}  // namespace messaging::repository
