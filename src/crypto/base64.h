// Base64 with the standard alphabet and padding (RFC 4648, 4).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/secret_text.h"

namespace messaging::crypto {

std::string base64_encoded(std::string_view bytes);

// Nullopt for what base64_encoded() does not write: other characters, blanks, missing padding, bits left over that are not 0. So
// each text stands for one sequence of bytes. What it stands for may be a key, and is therefore overwritten in the end.
std::optional<core::SecretText> base64_decoded(std::string_view text);

}  // namespace messaging::crypto
