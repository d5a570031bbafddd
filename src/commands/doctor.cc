// Connects, and prints what the checks found.
#include "commands/doctor.h"

#include <cstdio>
#include <string>

#include "app/installed_files.h"
#include "schema/doctor.h"

namespace messaging::commands {
namespace {

using schema::FindingLevel;

// Sessions of one process: claim, record and listen for each engine, and those of the API and of reconcile.
int sessions_of_a_process(const app::Config& config) { return 3 * config.engines + 4; }

const char* level_word(FindingLevel level) {
    switch (level) {
        case FindingLevel::kOk: return "ok     ";
        case FindingLevel::kWarning: return "warning";
        case FindingLevel::kError: break;
    }
    return "error  ";
}

struct Count {
    int errors = 0;
    int warnings = 0;
};

void print(const schema::CheckResult& result, Count& count) {
    for (const schema::Finding& finding : result.findings) {
        if (finding.level == FindingLevel::kError) ++count.errors;
        if (finding.level == FindingLevel::kWarning) ++count.warnings;
        std::printf("%s  %s: %s\n", level_word(finding.level), result.name.c_str(), finding.text.c_str());
        if (!finding.advice.empty()) std::printf("         do: %s\n", finding.advice.c_str());
    }
    std::fflush(stdout);  // a check may take a minute
}

}  // namespace

int run_doctor(const app::Config& config) {
    Count count;
    const auto files = schema::read_schema(app::installed_dir(config.migrations_dir, "migrations"));
    auto session = pg::Session::connect(config.database_url, "messaging doctor");
    if (!files) {
        print({"files", {{FindingLevel::kError, files.error().message, ""}}}, count);
    } else if (!session) {
        print({"connection",
               {{FindingLevel::kError, "PostgreSQL cannot be reached: " + session.error().message,
                 "see that it runs, and that DATABASE_URL has its address, a role that may log in, and the password"}}},
              count);
    } else {
        schema::DoctorLimits limits;
        limits.process_sessions = sessions_of_a_process(config);
        schema::examine(session.value(), files.value(), limits,
                        [&count](const schema::CheckResult& result) { print(result, count); });
    }
    std::printf("%d error(s), %d warning(s)\n", count.errors, count.warnings);
    return count.errors == 0 ? 0 : 1;
}

}  // namespace messaging::commands
