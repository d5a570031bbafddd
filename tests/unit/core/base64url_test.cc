// Base64url: one text for each sequence of bytes.
#include "core/base64url.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace messaging::core {
namespace {

TEST(Base64url, WritesTheTestVectorsOfTheStandard) {
    EXPECT_EQ(base64url_encoded(""), "");
    EXPECT_EQ(base64url_encoded("f"), "Zg");
    EXPECT_EQ(base64url_encoded("fo"), "Zm8");
    EXPECT_EQ(base64url_encoded("foo"), "Zm9v");
    EXPECT_EQ(base64url_encoded("foobar"), "Zm9vYmFy");
    EXPECT_EQ(base64url_encoded("\xfb\xff"), "-_8");
}

TEST(Base64url, RefusesWhatItDoesNotWrite) {
    for (const char* text : {"Z", "Zg==", "Zh", "Zm9", "+/8", "Zg Zg", "Zm9v\n"}) EXPECT_FALSE(base64url_decoded(text)) << text;
}

RC_GTEST_PROP(Base64urlProperties, IsReadAsItWasWritten, (const std::string& bytes)) {
    RC_ASSERT(base64url_decoded(base64url_encoded(bytes)) == bytes);
}

RC_GTEST_PROP(Base64urlProperties, WhatIsReadIsWrittenTheSame, (const std::string& text)) {
    if (const auto bytes = base64url_decoded(text)) RC_ASSERT(base64url_encoded(*bytes) == text);
}

}  // namespace
}  // namespace messaging::core
