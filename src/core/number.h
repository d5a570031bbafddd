// A whole text read as a number: decimal, without blanks, a plus sign or a locale.
#pragma once

#include <charconv>
#include <limits>
#include <optional>
#include <string_view>
#include <system_error>

namespace messaging::core {

// Nullopt where anything but the number is in the text, or the number does not fit into T. "-" counts as a sign where T has one.
template <typename T>
std::optional<T> parse_number(std::string_view text) {
    T value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return value;
}

// Digits only: no sign. Nullopt for anything else, and for a number that does not fit.
inline std::optional<int> parse_digits(std::string_view text) {
    if (text.starts_with('-')) return std::nullopt;
    return parse_number<int>(text);
}

// A number of JSON whose value is whole, however it is written: 69, 69.0 and 6.9e1 are the same (JSON Schema, 6.3).
inline std::optional<int> parse_whole_number(std::string_view text) {
    if (const auto number = parse_number<int>(text)) return number;
    const auto number = parse_number<double>(text);
    if (!number || !(*number >= std::numeric_limits<int>::min() && *number <= std::numeric_limits<int>::max()))
        return std::nullopt;
    const int whole = static_cast<int>(*number);
    return whole == *number ? std::optional(whole) : std::nullopt;
}

}  // namespace messaging::core
