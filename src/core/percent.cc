// Percent-decoding, byte by byte.
#include "core/percent.h"

#include <charconv>
#include <system_error>

namespace messaging::core {
namespace {

// The byte of the escape "%2B" at `index`; nullopt where there is none.
std::optional<char> byte_of_escape(std::string_view text, std::size_t index) {
    if (text[index] != '%' || index + 2 >= text.size()) return std::nullopt;
    unsigned char byte = 0;
    const char* const begin = text.data() + index + 1;
    const auto [end, error] = std::from_chars(begin, begin + 2, byte, 16);
    if (error != std::errc() || end != begin + 2) return std::nullopt;
    return static_cast<char>(byte);
}

}  // namespace

std::string percent_decoded(std::string_view text, Plus plus) {
    std::string decoded;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (const auto byte = byte_of_escape(text, i)) {
            decoded.push_back(*byte);
            i += 2;
        } else {
            decoded.push_back(plus == Plus::kBlank && text[i] == '+' ? ' ' : text[i]);
        }
    }
    return decoded;
}

std::optional<std::string> percent_decoded_strictly(std::string_view text) {
    for (std::size_t i = text.find('%'); i != std::string_view::npos; i = text.find('%', i + 3)) {
        if (!byte_of_escape(text, i)) return std::nullopt;
    }
    return percent_decoded(text);
}

}  // namespace messaging::core
