// The subcommand `messaging doctor`.
#pragma once

#include "app/config.h"

namespace messaging::commands {

// Prints a line for each check, and what to do about each finding. Exit status: 0, or 1 where there is an error; warnings do not
// count.
int run_doctor(const app::Config& config);

}  // namespace messaging::commands
