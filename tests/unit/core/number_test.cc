// Numbers in texts.
#include "core/number.h"

#include <gtest/gtest.h>

namespace messaging::core {
namespace {

// A client that writes whole numbers as 69.0, as some languages do, was refused, though the OpenAPI document allows it.
TEST(Number, IsWholeByItsValueAndNotByHowItIsWritten) {
    for (const char* text : {"69", "69.0", "6.9e1", "690E-1"}) EXPECT_EQ(parse_whole_number(text), 69) << text;
    EXPECT_EQ(parse_whole_number("-2147483648.0"), -2147483647 - 1);
    for (const char* text : {"", "69.5", "1e10", "2147483648.0", "-1e400", "1e400", "nan", "inf", " 69", "69 ", "69.0x", "+69"}) {
        EXPECT_EQ(parse_whole_number(text), std::nullopt) << text;
    }
}

}  // namespace
}  // namespace messaging::core
