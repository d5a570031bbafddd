// Comparing the schema with the migrations.
#include "schema/schema_files.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>

#include "core/completion.h"
#include "pg/run_statement.h"

namespace messaging::schema {

const char* const kCreateSchemaTable = R"sql(
DO $$
BEGIN
    -- IF NOT EXISTS would ask for the right to create schemas where the schema is there.
    IF to_regnamespace('messaging') IS NULL THEN
        CREATE SCHEMA messaging;
    END IF;
END $$;
CREATE TABLE IF NOT EXISTS messaging._migration (
    version integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE IF NOT EXISTS messaging._function_file (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row), checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now()))sql";

const pg::Statement kLookForSchema{"look_for_schema", R"sql(
SELECT to_regclass('messaging._migration') IS NOT NULL,
       to_regclass('public.schema_migrations') IS NOT NULL AND to_regclass('public.message_queue') IS NOT NULL)sql"};

const pg::Statement kCompareFunctions{"compare_functions", R"sql(
SELECT EXISTS (SELECT FROM messaging._function_file WHERE checksum = encode(sha256(convert_to($1::text, 'UTF8')), 'hex')))sql"};

// $1, $2: names and texts of the migrations, in order.
const pg::Statement kCompareSchema{"compare_schema", R"sql(
SELECT coalesce(file.name, applied.name), file.name = applied.name IS TRUE, applied.version IS NOT NULL,
       encode(sha256(convert_to(file.sql, 'UTF8')), 'hex') = applied.checksum,
       to_char(applied.applied_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS file (name, sql, version)
FULL JOIN messaging._migration AS applied ON applied.version = file.version
ORDER BY coalesce(file.version, applied.version))sql"};

namespace {

core::Error invalid(std::string message) { return {core::ErrorKind::kInvalid, std::move(message)}; }
core::Error conflict(std::string message) { return {core::ErrorKind::kConflict, std::move(message)}; }

std::string read_file(const std::filesystem::path& path) {
    std::ifstream stream(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
}

constexpr const char* kFunctions = "functions";

core::Error pending(const std::string& names) {
    return conflict("migrations are pending (" + names + "): run `messaging migrate up` first");
}

std::string pending_names(const std::vector<MigrationStatus>& all) {
    std::string names;
    for (const MigrationStatus& one : all) {
        if (!one.applied) names += (names.empty() ? "" : ", ") + one.name;
    }
    return names;
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

core::Result<std::string> read_functions(const std::string& directory) {
    std::error_code failure;
    const std::filesystem::path folder = std::filesystem::path(directory) / kFunctions;
    if (!std::filesystem::exists(folder, failure)) return std::string();
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(folder, failure)) {
        if (entry.path().extension() == ".sql") files.push_back(entry.path());
    }
    if (failure) return invalid("the folder " + folder.string() + " cannot be read: " + failure.message());
    std::sort(files.begin(), files.end());
    std::string text;
    for (const auto& file : files) text += read_file(file);
    return text;
}

core::Result<SchemaFiles> read_schema(const std::string& directory) {
    auto migrations = read_migrations(directory);
    if (!migrations) return migrations.error();
    auto functions = read_functions(directory);
    if (!functions) return functions.error();
    return SchemaFiles{std::move(migrations.value()), std::move(functions.value())};
}

pg::Params compare_params(const std::vector<Migration>& migrations) {
    std::vector<std::string> names;
    std::vector<std::string> texts;
    for (const Migration& migration : migrations) {
        names.push_back(migration.name);
        texts.push_back(migration.up);
    }
    pg::Params params;
    params.text_array(names).text_array(texts);
    return params;
}

core::Result<std::vector<MigrationStatus>> read_comparison(const pg::Rows& rows) {
    std::vector<MigrationStatus> all;
    for (int row = 0; row < rows.size(); ++row) {
        const std::string name(rows.text(row, 0));
        const bool applied = rows.boolean(row, 2);
        if (applied && !rows.boolean(row, 1)) {
            return conflict("the database has other migrations than this program's folder, at " + name +
                            ": use the version that made them");
        }
        if (applied && !rows.boolean(row, 3)) {
            return conflict("the file " + name +
                            ".up.sql was edited after it was applied: restore it, and put the change into a new migration");
        }
        all.push_back({name, applied, applied ? std::string(rows.text(row, 4)) : ""});
    }
    return all;
}

core::Result<bool> read_existence(const pg::Rows& rows) {
    if (!rows.boolean(0, 1)) return rows.boolean(0, 0);
    return conflict(
        "the database has the tables of a version from before the first release (public.message_queue): there is no upgrade from "
        "it. Use a new database, or rename `messages` and drop the other tables, run `messaging migrate up`, and copy what is "
        "unsent with INSERT INTO messages (recipient, content)");
}

void check_schema(pg::Connection& connection, const SchemaFiles& files, const core::Completion<core::Unit>& done) {
    std::string all_names;
    for (const Migration& migration : files.migrations) all_names += (all_names.empty() ? "" : ", ") + migration.name;
    pg::Params functions;
    functions.text(files.functions);
    const auto compare = [&connection, params = compare_params(files.migrations), functions, done,
                          all_names](const core::Result<bool>& exists) {
        if (!exists) return done(exists.error());
        if (!exists.value()) return done(pending(all_names));
        pg::run_steps<core::Unit>(connection, {{&kCompareSchema, params}, {&kCompareFunctions, functions}}, done,
                                  [](const std::vector<pg::Rows>& rows) -> core::Result<core::Unit> {
                                      const auto all = read_comparison(rows[0]);
                                      if (!all) return all.error();
                                      const std::string names = pending_names(all.value());
                                      if (!names.empty()) return pending(names);
                                      if (!rows[1].boolean(0, 0)) return pending(kFunctions);
                                      return core::Unit{};
                                  });
    };
    pg::run_statement<bool>(connection, kLookForSchema, {}, compare, read_existence);
}

}  // namespace messaging::schema
