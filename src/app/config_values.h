// Readers of single values (durations, integers, numbers, switches), and URLs for output.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "core/result.h"

namespace messaging::app {

// "250ms", "10s", "5m", "6h"; a bare number is refused because its unit would be a guess.
core::Result<std::chrono::milliseconds> parse_duration(const std::string& text);
std::string format_duration(std::chrono::milliseconds duration);

core::Result<std::int64_t> parse_integer(const std::string& text, std::int64_t low, std::int64_t high);
core::Result<double> parse_number(const std::string& text, double low, double high);
// true/false, yes/no, on/off, 1/0
core::Result<bool> parse_bool(const std::string& text);

// A URL as it may be shown: the password, and the values of the query, are ***.
std::string without_secrets(const std::string& url);

// "http://127.0.0.1:8080", "http://[::1]:8080"
std::string url_of(const std::string& address, int port);

}  // namespace messaging::app
