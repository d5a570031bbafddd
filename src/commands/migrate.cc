// Runs the migrator, and prints what it has done.
#include "commands/migrate.h"

#include <cstdio>

#include "app/installed_files.h"
#include "pg/session.h"
#include "schema/migrator.h"

namespace messaging::commands {
namespace {

int fail(const core::Error& error) {
    std::fprintf(stderr, "migrate: %s\n", error.message.c_str());
    return 1;
}

}  // namespace

int run_migrate(const app::Config& config, const std::string& command, bool force) {
    auto files = schema::read_schema(app::installed_dir(config.migrations_dir, "migrations"));
    if (!files) return fail(files.error());
    auto session = pg::Session::connect(config.database_url, "messaging migrate");
    if (!session) return fail(session.error());
    schema::Migrator migrator(session.value(), std::move(files.value()));
    if (command == "status") {
        const auto status = migrator.status();
        if (!status) return fail(status.error());
        for (const auto& one : status.value()) {
            std::printf("%s  %s\n", one.name.c_str(), one.applied ? one.applied_at.c_str() : "pending");
        }
        return 0;
    }
    const auto names = command == "up" ? migrator.up() : migrator.down(force);
    if (!names) return fail(names.error());
    for (const std::string& name : names.value()) std::printf("%s %s\n", command == "up" ? "applied" : "undone ", name.c_str());
    if (names->empty()) std::printf("nothing to do\n");
    if (command == "down") return 0;
    const auto aligned = migrator.align_content_limit(config.max_content_bytes);
    return aligned ? 0 : fail(aligned.error());
}

}  // namespace messaging::commands
