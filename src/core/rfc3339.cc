// RFC 3339, 5.6, without locale, exceptions or the process's time zone.
#include "core/rfc3339.h"

#include <algorithm>
#include <cstdio>

#include "core/number.h"

namespace messaging::core {
namespace {

constexpr std::size_t kSecondsEnd = 19;  // of "2026-01-02T03:04:05"
constexpr std::size_t kOffsetSize = 6;   // of "+03:00"
constexpr Microseconds kFirst = std::chrono::sys_days(std::chrono::year(1) / 1 / 1);
constexpr Microseconds kBehindLast = std::chrono::sys_days(std::chrono::year(10000) / 1 / 1);

std::string format(Microseconds time, int digits) {
    const auto day = std::chrono::floor<std::chrono::days>(time);
    const std::chrono::year_month_day date(day);
    const std::chrono::hh_mm_ss of_day(time - day);
    const auto fraction = static_cast<long>(of_day.subseconds().count());
    char text[80];
    const int size = std::snprintf(text, sizeof(text), "%04d-%02u-%02uT%02ld:%02ld:%02ld.%06ld", static_cast<int>(date.year()),
                                   static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                                   static_cast<long>(of_day.hours().count()), static_cast<long>(of_day.minutes().count()),
                                   static_cast<long>(of_day.seconds().count()), fraction);
    return std::string(text, static_cast<std::size_t>(size - 6 + digits)) + "Z";
}

std::optional<std::chrono::seconds> time_of_day(std::string_view text) {
    const auto hour = parse_digits(text.substr(0, 2));
    const auto minute = parse_digits(text.substr(3, 2));
    const auto second = parse_digits(text.substr(6, 2));
    if (!hour || !minute || !second || text[2] != ':' || text[5] != ':') return std::nullopt;
    if (*hour > 23 || *minute > 59 || *second > 60) return std::nullopt;
    return std::chrono::hours(*hour) + std::chrono::minutes(*minute) + std::chrono::seconds(*second);
}

std::optional<std::chrono::sys_days> date_of(std::string_view text) {
    const auto year = parse_digits(text.substr(0, 4));
    const auto month = parse_digits(text.substr(5, 2));
    const auto day = parse_digits(text.substr(8, 2));
    if (!year || *year < 1 || !month || !day || text[4] != '-' || text[7] != '-') return std::nullopt;
    const std::chrono::year_month_day date{std::chrono::year(*year), std::chrono::month(static_cast<unsigned>(*month)),
                                           std::chrono::day(static_cast<unsigned>(*day))};
    if (!date.ok()) return std::nullopt;
    return std::chrono::sys_days(date);
}

// Takes ".678901" from the front of `text`.
std::optional<std::chrono::microseconds> take_fraction(std::string_view& text) {
    if (!text.starts_with('.')) return std::chrono::microseconds(0);
    text.remove_prefix(1);
    const std::string_view all = text.substr(0, text.find_first_not_of("0123456789"));
    if (all.empty()) return std::nullopt;
    text.remove_prefix(all.size());
    std::string six(all.substr(0, 6));
    six.resize(6, '0');
    return std::chrono::microseconds(parse_digits(six).value_or(0));
}

std::optional<std::chrono::minutes> offset_of(std::string_view text) {
    if (text == "Z" || text == "z") return std::chrono::minutes(0);
    if (text.size() != kOffsetSize || (text[0] != '+' && text[0] != '-') || text[3] != ':') return std::nullopt;
    const auto hours = parse_digits(text.substr(1, 2));
    const auto minutes = parse_digits(text.substr(4, 2));
    if (!hours || !minutes || *hours > 23 || *minutes > 59) return std::nullopt;
    const auto offset = std::chrono::hours(*hours) + std::chrono::minutes(*minutes);
    return text[0] == '+' ? offset : -offset;
}

}  // namespace

std::string format_rfc3339_ms(std::chrono::system_clock::time_point time) {
    return format(std::chrono::floor<std::chrono::microseconds>(time), 3);
}

std::string format_rfc3339_us(Microseconds time) { return format(time, 6); }

std::optional<std::string> format_rfc3339_us(const std::optional<Microseconds>& time) {
    return time ? std::optional(format_rfc3339_us(*time)) : std::nullopt;
}

std::optional<Microseconds> parse_rfc3339(std::string_view text) {
    if (text.size() <= kSecondsEnd || (text[10] != 'T' && text[10] != 't')) return std::nullopt;
    const auto date = date_of(text.substr(0, 10));
    const auto time = time_of_day(text.substr(11, 8));
    text.remove_prefix(kSecondsEnd);
    const auto fraction = take_fraction(text);
    const auto offset = offset_of(text);
    if (!date || !time || !fraction || !offset) return std::nullopt;
    const Microseconds utc = Microseconds(*date) + *time + *fraction - *offset;
    if (utc < kFirst || utc >= kBehindLast) return std::nullopt;  // an offset or a leap second leads out of the four digits
    return utc;
}

}  // namespace messaging::core
