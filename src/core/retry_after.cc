// Parsing of Retry-After without locale, exceptions or allocation.
#include "core/retry_after.h"

#include <algorithm>
#include <array>

#include "core/number.h"
#include "core/text.h"

namespace messaging::core {
namespace {

constexpr std::chrono::seconds kLargest{std::chrono::hours(24 * 365)};
constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

// IMF-fixdate, the only form a sender may generate: "Sun, 06 Nov 1994 08:49:37 GMT".
// In seconds: a WallTime of nanoseconds ends in the year 2262.
std::optional<std::chrono::sys_seconds> parse_http_date(std::string_view text) {
    if (text.size() != 29 || text.substr(3, 2) != ", " || text.substr(25) != " GMT") return std::nullopt;
    const auto day = parse_digits(text.substr(5, 2));
    const auto month = std::find(kMonths.begin(), kMonths.end(), text.substr(8, 3));
    const auto year = parse_digits(text.substr(12, 4));
    const auto hour = parse_digits(text.substr(17, 2));
    const auto minute = parse_digits(text.substr(20, 2));
    const auto second = parse_digits(text.substr(23, 2));
    if (!day || month == kMonths.end() || !year || !hour || !minute || !second) return std::nullopt;
    const auto month_number = static_cast<unsigned>(month - kMonths.begin()) + 1;
    const std::chrono::year_month_day date{std::chrono::year(*year), std::chrono::month(month_number),
                                           std::chrono::day(static_cast<unsigned>(*day))};
    if (!date.ok() || *hour > 23 || *minute > 59 || *second > 60) return std::nullopt;
    return std::chrono::sys_days(date) + std::chrono::hours(*hour) + std::chrono::minutes(*minute) +
           std::chrono::seconds(*second);
}

}  // namespace

std::optional<std::chrono::seconds> parse_retry_after(std::string_view value, std::string_view date, WallTime now) {
    value = trimmed(value);
    if (value.empty()) return std::nullopt;
    if (value.find_first_not_of("0123456789") == std::string_view::npos) {
        const auto seconds = parse_digits(value);
        return seconds ? std::min(std::chrono::seconds(*seconds), kLargest) : kLargest;
    }
    const auto until = parse_http_date(value);
    if (!until) return std::nullopt;
    const auto wait = *until - parse_http_date(trimmed(date)).value_or(std::chrono::floor<std::chrono::seconds>(now));
    return std::clamp(wait, std::chrono::seconds(0), kLargest);
}

}  // namespace messaging::core
