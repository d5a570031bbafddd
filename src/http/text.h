// Text as HTTP compares and allows it.
#pragma once

#include <string_view>

namespace messaging::http {

// A method or a header's name: RFC 9110, 5.6.2.
bool is_token(std::string_view text);
// In ASCII, as names of headers and hosts are compared.
bool equal_ignoring_case(std::string_view left, std::string_view right);

// Without the blanks and tabs around it, which are no part of a header's value: RFC 9110, 5.5.
std::string_view trimmed(std::string_view value);

}  // namespace messaging::http
