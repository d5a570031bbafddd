// Connecting, and printing what the checks found.
#include "app/doctor.h"

#include <cstdio>
#include <string>

#include "app/migrate.h"
#include "repository/doctor.h"

namespace messaging::app {
namespace {

using repository::FindingLevel;

// Sessions of one process: claim, record and listen for each engine, and those of the API and of reconcile.
int sessions_of_an_instance(const Config& config) { return 3 * config.engines + 4; }

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

void print(const repository::CheckResult& result, Count& count) {
    for (const repository::Finding& finding : result.findings) {
        if (finding.level == FindingLevel::kError) ++count.errors;
        if (finding.level == FindingLevel::kWarning) ++count.warnings;
        std::printf("%s  %s: %s\n", level_word(finding.level), result.name.c_str(), finding.text.c_str());
        if (!finding.advice.empty()) std::printf("         do: %s\n", finding.advice.c_str());
    }
    std::fflush(stdout);  // a check may take a minute
}

}  // namespace

int run_doctor(const Config& config) {
    Count count;
    const auto files = repository::read_schema(migrations_dir(config));
    auto session = pg::Session::connect(config.database_url, "messaging doctor");
    if (!files) {
        print({"files", {{FindingLevel::kError, files.error().message, ""}}}, count);
    } else if (!session) {
        print({"connection",
               {{FindingLevel::kError, "PostgreSQL cannot be reached: " + session.error().message,
                 "see that it runs, and that DATABASE_URL has its address, a role that may log in, and the password"}}},
              count);
    } else {
        repository::DoctorLimits limits;
        limits.instance_sessions = sessions_of_an_instance(config);
        repository::examine(session.value(), files.value(), limits,
                            [&count](const repository::CheckResult& result) { print(result, count); });
    }
    std::printf("%d error(s), %d warning(s)\n", count.errors, count.warnings);
    return count.errors == 0 ? 0 : 1;
}

}  // namespace messaging::app
