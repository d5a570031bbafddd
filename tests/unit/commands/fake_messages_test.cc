// The invented messages.
#include "commands/fake_messages.h"

#include <gtest/gtest.h>

#include <regex>
#include <set>
#include <string>

namespace messaging::commands {
namespace {

constexpr int kMany = 2000;
constexpr std::size_t kLongestText = 500;  // bytes: far below any content limit in use

TEST(FakeMessages, TheSameSeedGivesTheSameMessages) {
    FakeMessages one(7);
    FakeMessages other(7);
    for (int i = 0; i < kMany; ++i) {
        const FakeMessage a = one.next();
        const FakeMessage b = other.next();
        ASSERT_EQ(a.recipient, b.recipient);
        ASSERT_EQ(a.content, b.content);
    }
}

TEST(FakeMessages, AnotherSeedGivesOthers) {
    FakeMessages one(7);
    FakeMessages other(8);
    int equal = 0;
    for (int i = 0; i < kMany; ++i) equal += one.next().recipient == other.next().recipient ? 1 : 0;
    EXPECT_LT(equal, kMany / 100);
}

TEST(FakeMessages, RecipientsAreMobileNumbersOfSeveralCountries) {
    // E.164 with each country's own length and first digits, as its numbering plan has them.
    const std::regex plan(
        "\\+(90555\\d{7}|4915\\d{9}|447\\d{9}|336\\d{8}|346\\d{8}|3934\\d{8}|1415[2-9]\\d{6}|8190\\d{8}|55119\\d{8}|9198\\d{8})");
    FakeMessages messages(1);
    std::set<std::string> countries;
    for (int i = 0; i < kMany; ++i) {
        const std::string recipient = messages.next().recipient;
        ASSERT_TRUE(std::regex_match(recipient, plan)) << recipient;
        countries.insert(recipient.substr(0, 3));
    }
    EXPECT_GE(countries.size(), 8U);
}

TEST(FakeMessages, TextsHaveNoPlaceholderLeftAndSomeAreNotAscii) {
    FakeMessages messages(1);
    int beyond_ascii = 0;
    bool emoji = false;
    for (int i = 0; i < kMany; ++i) {
        const std::string content = messages.next().content;
        ASSERT_FALSE(content.empty());
        ASSERT_LE(content.size(), kLongestText);
        ASSERT_EQ(content.find_first_of("{}"), std::string::npos) << content;
        for (const char c : content) {
            if (static_cast<unsigned char>(c) < 0x80) continue;
            ++beyond_ascii;
            break;
        }
        emoji = emoji || content.find("\xF0\x9F") != std::string::npos;
    }
    EXPECT_GT(beyond_ascii, kMany / 4);
    EXPECT_LT(beyond_ascii, kMany);
    EXPECT_TRUE(emoji);
}

}  // namespace
}  // namespace messaging::commands
