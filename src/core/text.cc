// UTF-8 validation and cleaning (RFC 3629, table 3-7 of the Unicode standard).
#include "core/text.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace messaging::core {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

unsigned byte_at(std::string_view bytes, std::size_t index) {
    return index < bytes.size() ? static_cast<unsigned char>(bytes[index]) : 0u;
}

bool in_range(unsigned value, unsigned low, unsigned high) { return value >= low && value <= high; }

// Length of the well-formed character at `index`; 0 when there is none.
std::size_t character_length(std::string_view bytes, std::size_t index) {
    const unsigned first = byte_at(bytes, index);
    const unsigned second = byte_at(bytes, index + 1);
    if (first < 0x80) return 1;
    if (in_range(first, 0xC2, 0xDF)) return in_range(second, 0x80, 0xBF) ? 2 : 0;
    const bool third_follows = in_range(byte_at(bytes, index + 2), 0x80, 0xBF);
    if (in_range(first, 0xE0, 0xEF)) {
        const unsigned low = first == 0xE0 ? 0xA0 : 0x80;
        const unsigned high = first == 0xED ? 0x9F : 0xBF;
        return in_range(second, low, high) && third_follows ? 3 : 0;
    }
    if (in_range(first, 0xF0, 0xF4)) {
        const unsigned low = first == 0xF0 ? 0x90 : 0x80;
        const unsigned high = first == 0xF4 ? 0x8F : 0xBF;
        const bool fourth_follows = in_range(byte_at(bytes, index + 3), 0x80, 0xBF);
        return in_range(second, low, high) && third_follows && fourth_follows ? 4 : 0;
    }
    return 0;
}

// Most text is ASCII: eight bytes are looked at together as long as none has its high bit set.
std::size_t ascii_prefix(std::string_view bytes) {
    constexpr std::uint64_t kHighBits = 0x8080808080808080u;
    std::size_t index = 0;
    for (std::uint64_t word = 0; index + sizeof word <= bytes.size(); index += sizeof word) {
        std::memcpy(&word, bytes.data() + index, sizeof word);
        if ((word & kHighBits) != 0) break;
    }
    return index;
}

}  // namespace

bool is_utf8(std::string_view bytes) {
    for (std::size_t index = ascii_prefix(bytes); index < bytes.size();) {
        const std::size_t length = character_length(bytes, index);
        if (length == 0) return false;
        index += length;
    }
    return true;
}

std::string clean_text(std::string_view bytes, std::size_t max_bytes) {
    if (bytes.size() <= max_bytes && is_utf8(bytes) && bytes.find('\0') == std::string_view::npos) return std::string(bytes);
    std::string clean;
    for (std::size_t index = 0; index < bytes.size();) {
        std::size_t length = character_length(bytes, index);
        std::string_view piece = bytes.substr(index, length);
        if (length == 0 || bytes[index] == '\0') {
            piece = kReplacement;
            length = 1;
        }
        if (clean.size() + piece.size() > max_bytes) break;
        clean += piece;
        index += length;
    }
    return clean;
}

std::string_view trimmed(std::string_view text) {
    text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
    return text.substr(0, text.find_last_not_of(" \t") + 1);
}

}  // namespace messaging::core
