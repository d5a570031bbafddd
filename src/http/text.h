// Text as HTTP compares and allows it.
#pragma once

#include <string_view>

#include "core/text.h"

namespace messaging::http {

// A method or a header's name: RFC 9110, 5.6.2.
bool is_token(std::string_view text);
// In ASCII, as names of headers and hosts are compared.
bool equal_ignoring_case(std::string_view left, std::string_view right);

// Blanks and tabs around a header's value are no part of it: RFC 9110, 5.5.
using core::trimmed;

}  // namespace messaging::http
