// SHA-256, for comparing secrets in constant time and for telling bodies apart.
#pragma once

#include <string>
#include <string_view>

namespace messaging::crypto {

std::string sha256_hex(std::string_view text);
// Takes as long for a near miss as for a far one, whatever the lengths.
bool constant_time_equal(std::string_view given, std::string_view expected);

}  // namespace messaging::crypto
