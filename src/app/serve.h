// The subcommand `messaging serve`: one API loop and N engines.
#pragma once

#include "app/config.h"

namespace messaging::app {

// Waits for PostgreSQL, refuses pending migrations, and serves until SIGTERM, SIGINT or SIGHUP. A second SIGTERM or SIGINT ends
// the process at once. Returns the exit status: 0; 1 when it cannot start. The second signal exits with 130 and does not return.
int run_serve(const Config& config);

}  // namespace messaging::app
