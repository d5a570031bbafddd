// Base64url, six bits at a time.
#include "core/base64url.h"

#include <cstdint>

namespace messaging::core {
namespace {

constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

}  // namespace

std::string base64url_encoded(std::string_view bytes) {
    std::string text;
    std::uint32_t bits = 0;
    int count = 0;  // of the bits that wait
    for (const char byte : bytes) {
        bits = (bits << 8) | static_cast<unsigned char>(byte);
        for (count += 8; count >= 6; count -= 6) text.push_back(kAlphabet[(bits >> (count - 6)) & 63]);
    }
    if (count > 0) text.push_back(kAlphabet[(bits << (6 - count)) & 63]);
    return text;
}

std::optional<std::string> base64url_decoded(std::string_view text) {
    std::string bytes;
    std::uint32_t bits = 0;
    int count = 0;
    for (const char c : text) {
        const auto six = kAlphabet.find(c);
        if (six == std::string_view::npos) return std::nullopt;
        bits = (bits << 6) | static_cast<std::uint32_t>(six);
        count += 6;
        if (count >= 8) {
            count -= 8;
            bytes.push_back(static_cast<char>((bits >> count) & 255));
        }
    }
    if (count >= 6 || (bits & ((1u << count) - 1)) != 0) return std::nullopt;
    return bytes;
}

}  // namespace messaging::core
