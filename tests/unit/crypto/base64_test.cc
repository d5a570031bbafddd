// RFC 4648's examples, and what is not base64.
#include "crypto/base64.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace messaging::crypto {
namespace {

TEST(Base64, WritesAndReadsTheExamplesOfTheRfc) {
    const std::pair<std::string, std::string> examples[] = {{"", ""},
                                                            {"f", "Zg=="},
                                                            {"fo", "Zm8="},
                                                            {"foo", "Zm9v"},
                                                            {"foob", "Zm9vYg=="},
                                                            {"fooba", "Zm9vYmE="},
                                                            {"foobar", "Zm9vYmFy"},
                                                            {"\xfb\xff\xfe", "+//+"}};
    for (const auto& [bytes, text] : examples) {
        EXPECT_EQ(base64_encoded(bytes), text);
        ASSERT_TRUE(base64_decoded(text)) << text;
        EXPECT_EQ(base64_decoded(text)->view(), bytes);
    }
}

TEST(Base64, RefusesWhatItWouldNotWrite) {
    for (const char* text : {"Zg", "Zg=", "Z===", "====", "Zh==", "Zm9=", " Zg==", "Zg== ", "Zm9v\n", "Zm 9", "-__-",
                             "Zg==Zg==", "Zm=v", "Zm9vYg==="}) {
        EXPECT_FALSE(base64_decoded(text)) << text;
    }
}

RC_GTEST_PROP(Base64, ReadsWhatItHasWritten, (const std::string& bytes)) {
    const auto read = base64_decoded(base64_encoded(bytes));
    RC_ASSERT(read.has_value());
    RC_ASSERT(read->view() == bytes);
}

}  // namespace
}  // namespace messaging::crypto
