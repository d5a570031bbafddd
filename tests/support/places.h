// Where the checkout and the build under test are.
#pragma once

#include <string>

namespace messaging::test {

std::string migrations_dir();
std::string source_file(const std::string& path);  // relative to the checkout
std::string messaging_binary();

}  // namespace messaging::test
