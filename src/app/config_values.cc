// Parsing of configuration values.
#include "app/config_values.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <sstream>
#include <utility>

#include "core/number.h"

namespace messaging::app {
namespace {

core::Error wrong(std::string message) { return {core::ErrorKind::kInvalid, std::move(message)}; }

struct Unit {
    const char* suffix;
    std::int64_t milliseconds;
};
constexpr std::array<Unit, 4> kUnits = {{{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}}};
constexpr std::int64_t kLongestMilliseconds = 365LL * 24 * 3'600'000;

}  // namespace

core::Result<std::chrono::milliseconds> parse_duration(const std::string& text) {
    std::int64_t count = 0;
    const char* const end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, count);
    const std::string suffix(rest, end);
    for (const Unit& unit : kUnits) {
        if (error != std::errc() || suffix != unit.suffix || count < 0) continue;
        if (count > kLongestMilliseconds / unit.milliseconds) return wrong("is longer than a year");
        return std::chrono::milliseconds(count * unit.milliseconds);
    }
    return wrong("must be a whole number with a unit: 250ms, 10s, 5m or 6h");
}

std::string format_duration(std::chrono::milliseconds duration) {
    const std::int64_t count = duration.count();
    for (auto unit = kUnits.rbegin(); unit != kUnits.rend(); ++unit) {
        if (count >= unit->milliseconds && count % unit->milliseconds == 0) {
            return std::to_string(count / unit->milliseconds) + unit->suffix;
        }
    }
    return std::to_string(count) + "ms";
}

core::Result<std::int64_t> parse_integer(const std::string& text, std::int64_t low, std::int64_t high) {
    const auto value = core::parse_number<std::int64_t>(text);
    if (!value || *value < low || *value > high) {
        return wrong("must be a whole number from " + std::to_string(low) + " to " + std::to_string(high));
    }
    return *value;
}

core::Result<double> parse_number(const std::string& text, double low, double high) {
    const auto value = core::parse_number<double>(text);
    if (!value || !(*value >= low && *value <= high)) {
        std::ostringstream message;
        message << "must be a number from " << low << " to " << high;
        return wrong(message.str());
    }
    return *value;
}

core::Result<bool> parse_bool(const std::string& text) {
    for (const char* yes : {"true", "yes", "on", "1"}) {
        if (text == yes) return true;
    }
    for (const char* no : {"false", "no", "off", "0"}) {
        if (text == no) return false;
    }
    return wrong("must be true or false");
}

std::string without_secrets(const std::string& url) {
    const std::size_t question = std::min(url.find('?'), url.size());
    std::string shown = url.substr(0, question);
    const std::size_t scheme = shown.find("://");
    const std::size_t user = scheme == std::string::npos ? 0 : scheme + 3;
    // The last @, because one that stands in a password may have been left as it is.
    const std::size_t at = shown.rfind('@');
    const std::size_t colon = shown.find(':', user);
    if (at != std::string::npos && colon < at) shown.replace(colon + 1, at - colon - 1, "***");
    std::istringstream query(url.substr(std::min(question + 1, url.size())));
    char separator = '?';
    for (std::string pair; std::getline(query, pair, '&'); separator = '&') {
        shown.append(1, separator).append(pair, 0, pair.find('=') + 1).append("***");  // nothing of a pair without =
    }
    return shown;
}

std::string url_of(const std::string& address, int port) {
    const bool is_ipv6 = address.find(':') != std::string::npos;
    return "http://" + (is_ipv6 ? "[" + address + "]" : address) + ":" + std::to_string(port);
}

}  // namespace messaging::app
