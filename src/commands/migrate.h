// The subcommand `messaging migrate`.
#pragma once

#include <string>

#include "app/config.h"

namespace messaging::commands {

// `command`: up, down or status. Exit status: 0, or 1 with the reason on standard error.
int run_migrate(const app::Config& config, const std::string& command, bool force);

}  // namespace messaging::commands
