// Percent-decoding, lenient and strict.
#include "core/percent.h"

#include <gtest/gtest.h>

namespace messaging::core {
namespace {

TEST(Percent, DecodesEscapesAndKeepsWhatIsNone) {
    EXPECT_EQ(percent_decoded("a%2Bb%2fc%00d"), std::string("a+b/c\0d", 7));
    EXPECT_EQ(percent_decoded("100%, %4, %zz, %-1, %"), "100%, %4, %zz, %-1, %");
    EXPECT_EQ(percent_decoded("%25%32%35"), "%25") << "once only";
}

TEST(Percent, APlusIsABlankOnlyWhereItIsAskedFor) {
    EXPECT_EQ(percent_decoded("a+b"), "a+b");
    EXPECT_EQ(percent_decoded("a+b%2B", Plus::kBlank), "a b+");
}

TEST(Percent, TheStrictFormRefusesWhatIsNoEscape) {
    EXPECT_EQ(percent_decoded_strictly("p%40ss%25"), "p@ss%");
    EXPECT_EQ(percent_decoded_strictly(""), "");
    for (const char* text : {"%", "%4", "%zz", "a%", "%4%31", "%25%"}) EXPECT_FALSE(percent_decoded_strictly(text)) << text;
}

}  // namespace
}  // namespace messaging::core
