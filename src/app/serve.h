// The subcommand `messaging serve`: one API loop and N engines.
#pragma once

#include "app/config.h"

namespace messaging::app {

// Waits for PostgreSQL, refuses pending migrations, serves until SIGTERM or SIGINT. A second signal exits at once.
// Exit status: 0; 1 when it cannot start.
int run_serve(const Config& config);

}  // namespace messaging::app
