// One moment for the whole process.
#include "http_client/shortage.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>

namespace messaging::http_client {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr std::chrono::seconds kMemory{5};
constexpr std::size_t kFewestConnections = 4;
constexpr std::int64_t kNever = -1;

std::atomic<std::int64_t>& last_shortage() {
    static std::atomic<std::int64_t> at{kNever};
    return at;
}

bool has_free_descriptor() {
    const int fd = eventfd(0, EFD_CLOEXEC);
    if (fd >= 0) close(fd);
    return fd >= 0;
}

}  // namespace

void note_shortage() { last_shortage() = SteadyClock::now().time_since_epoch().count(); }

bool was_short_lately() {
    if (!has_free_descriptor()) note_shortage();
    const std::int64_t at = last_shortage();
    return at != kNever && SteadyClock::now().time_since_epoch() - SteadyClock::duration(at) < kMemory;
}

std::size_t connections_to_keep(std::size_t descriptors, std::size_t multis, std::size_t usual) {
    return std::clamp(descriptors / 2 / std::max<std::size_t>(multis, 1), std::min(kFewestConnections, usual), usual);
}

}  // namespace messaging::http_client
