// Percent-decoding (RFC 3986, 2.1).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace messaging::core {

enum class Plus { kPlus, kBlank };  // what "+" means: a blank in the query of a form (WHATWG URL, 5.1), itself elsewhere

// Escapes that are not well-formed stay as they are.
std::string percent_decoded(std::string_view text, Plus plus = Plus::kPlus);

// Nullopt where an escape is not well-formed.
std::optional<std::string> percent_decoded_strictly(std::string_view text);

}  // namespace messaging::core
