// The subcommand `messaging healthcheck`, for a container's HEALTHCHECK.
#pragma once

namespace messaging::app {

// Asks /livez on 127.0.0.1. Exit status: 0 alive, 1 not.
int run_healthcheck(int port);

}  // namespace messaging::app
