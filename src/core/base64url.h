// Base64url without padding (RFC 4648, 5): bytes as text that needs no escape in a URL.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace messaging::core {

std::string base64url_encoded(std::string_view bytes);

// Nullopt for what base64url_encoded() does not write: other characters, padding, and bits left over that are not 0. So each text
// stands for one sequence of bytes, and each sequence for one text.
std::optional<std::string> base64url_decoded(std::string_view text);

}  // namespace messaging::core
