// Retry-After (RFC 9110 section 10.2.3): seconds or an HTTP date, as a receiver may send it.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

#include "core/clock.h"

namespace messaging::core {

// The wait that the header asks for, never negative; nullopt when it is absent or not well-formed.
// A value too large to count becomes the largest wait; the caller bounds it.
// A date is compared with the answer's own Date, because either clock may be wrong; with `now` when that has none.
std::optional<std::chrono::seconds> parse_retry_after(std::string_view value, std::string_view date, WallTime now);

}  // namespace messaging::core
