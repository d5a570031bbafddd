// The subcommand `messaging healthcheck`, for a container's HEALTHCHECK.
#pragma once

#include <string>

namespace messaging::commands {

// One GET of `path` on 127.0.0.1, two seconds at most. Exit status: 0 when it is answered 200, else 1.
int run_healthcheck(const std::string& address, int port, const char* path);

}  // namespace messaging::commands
