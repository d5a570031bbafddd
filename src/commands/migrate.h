// The subcommand `messaging migrate`.
#pragma once

#include <string>

#include "app/config.h"

namespace messaging::commands {

// The folder that MIGRATIONS_DIR names, or the one beside the program, or the installed one.
std::string migrations_dir(const Config& config);
// `command`: up, down or status. Exit status: 0, or 1 with the reason on standard error.
int run_migrate(const Config& config, const std::string& command, bool force);

}  // namespace messaging::commands
