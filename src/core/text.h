// Checks and edits of text.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace messaging::core {

// RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
bool is_utf8(std::string_view bytes);

// Text that PostgreSQL and JSON accept: bytes that are not UTF-8 and NULs become U+FFFD; cut to at most `max_bytes` at a
// character boundary.
std::string clean_text(std::string_view bytes, std::size_t max_bytes);

// Without the blanks and tabs around it.
std::string_view trimmed(std::string_view text);

}  // namespace messaging::core
