// The subcommand `messaging faker`: many believable unsent messages.
#pragma once

#include <cstdint>
#include <string>

namespace messaging::commands {

struct FakerOptions {
    std::string database_url;
    std::int64_t count = 5000;
    std::uint64_t seed = 0;
};

// Shows a progress bar on a terminal, plain lines elsewhere; prints the rate. An interrupt ends it after the current chunk
// was committed. Exit status: 0, 1 with the reason, 130 when interrupted.
int run_faker(const FakerOptions& options);

}  // namespace messaging::commands
