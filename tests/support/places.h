// Where the checkout and the build under test are.
#pragma once

#include <string>

namespace messaging::test {

std::string migrations_dir();
std::string source_file(const std::string& path);  // relative to the checkout
std::string messaging_binary();
std::string hanging_resolver();  // for LD_PRELOAD; see tests/fault/hanging_resolver.cc

}  // namespace messaging::test
