// The subcommand `messaging healthcheck`, for a container's HEALTHCHECK.
#pragma once

#include <string>

namespace messaging::commands {

// Sends one HEAD request for `path` to `address`, or to the loopback address where `address` means every address. Takes two
// seconds at most. Exit status: 0 when it is answered 200, else 1.
int run_healthcheck(const std::string& address, int port, const char* path);

}  // namespace messaging::commands
