// Times as RFC 3339 writes them.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace messaging::core {

using Microseconds = std::chrono::sys_time<std::chrono::microseconds>;

// UTC with 3 digits of a second, "2026-01-02T03:04:05.678Z", or with 6. Precondition: years 0 to 9999.
std::string format_rfc3339_ms(std::chrono::system_clock::time_point time);
std::string format_rfc3339_us(Microseconds time);
std::optional<std::string> format_rfc3339_us(const std::optional<Microseconds>& time);

// "2026-01-02T03:04:05Z", with or without a fraction (digits after the sixth are dropped), with "Z" or an offset such as +03:00,
// in upper or lower case; a leap second is the second after it. Nullopt for everything else, and for what is not in the years 1
// to 9999 of UTC.
std::optional<Microseconds> parse_rfc3339(std::string_view text);

}  // namespace messaging::core
