// Text that PostgreSQL and JSON accept.
#include "core/text.h"

#include <gtest/gtest.h>

namespace messaging::core {
namespace {

const std::string kReplacement = "\xEF\xBF\xBD";

TEST(Text, KnowsUtf8) {
    for (const char* good : {"", "plain", "Merhaba \xC5\x9F", "\xF0\x9F\x98\x80", "\xF4\x8F\xBF\xBF"})
        EXPECT_TRUE(is_utf8(good)) << good;
    for (const char* bad :
         {"\x80", "\xC0\xAF", "\xC3", "\xE2\x82", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xF8\x88\x80\x80\x80", "\xFF"}) {
        EXPECT_FALSE(is_utf8(bad));
    }
}

TEST(Text, FindsWhatIsBrokenAtEveryPlaceOfALongText) {
    for (std::size_t length = 0; length < 40; ++length) {
        const std::string ascii(length, 'a');
        EXPECT_TRUE(is_utf8(ascii));
        EXPECT_TRUE(is_utf8(ascii + "\xC5\x9F" + ascii));
        EXPECT_FALSE(is_utf8(ascii + "\xFF" + ascii));
        EXPECT_EQ(clean_text(ascii + std::string(1, '\0') + ascii, 100), ascii + kReplacement + ascii);
    }
}

TEST(Text, CleansWhatIsBroken) {
    EXPECT_EQ(clean_text("a\xFFz", 100), "a" + kReplacement + "z");
    EXPECT_EQ(clean_text(std::string_view("a\0z", 3), 100), "a" + kReplacement + "z");
    EXPECT_EQ(clean_text("fine \xC5\x9F", 100), "fine \xC5\x9F");
}

TEST(Text, CutsAtACharactersBoundary) {
    EXPECT_EQ(clean_text("ab\xC5\x9F", 3), "ab");
    EXPECT_EQ(clean_text("ab\xC5\x9F", 4), "ab\xC5\x9F");
    EXPECT_EQ(clean_text("\xFF\xFF", 5), kReplacement) << "what replaces counts too";
    EXPECT_TRUE(is_utf8(clean_text("\xF0\x9F\x98\x80\xF0\x9F\x98\x80", 7)));
}

}  // namespace
}  // namespace messaging::core
