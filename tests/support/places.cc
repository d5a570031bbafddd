// Where the checkout and the build under test are: the one file that knows absolute paths.
#include "support/places.h"

namespace messaging::test {

std::string source_file(const std::string& path) { return std::string(SOURCE_DIR) + "/" + path; }
std::string migrations_dir() { return source_file("migrations"); }
std::string messaging_binary() { return BINARY_DIR "/messaging"; }
std::string hanging_resolver() { return BINARY_DIR "/libhanging_resolver.so"; }

}  // namespace messaging::test
