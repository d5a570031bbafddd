// Retry-After as receivers send it.
#include "core/retry_after.h"

#include <gtest/gtest.h>

namespace messaging::core {
namespace {

using std::chrono::seconds;

const WallTime kNow{seconds(784111777)};  // Sun, 06 Nov 1994 08:49:37 GMT

TEST(RetryAfter, ReadsSeconds) {
    EXPECT_EQ(parse_retry_after("0", "", kNow), seconds(0));
    EXPECT_EQ(parse_retry_after("120", "", kNow), seconds(120));
    EXPECT_EQ(parse_retry_after("  7\t", "", kNow), seconds(7));
}

TEST(RetryAfter, ReadsADate) {
    EXPECT_EQ(parse_retry_after("Sun, 06 Nov 1994 08:50:37 GMT", "", kNow), seconds(60));
    EXPECT_EQ(parse_retry_after("Sun, 06 Nov 1994 08:00:00 GMT", "", kNow), seconds(0)) << "past";
}

TEST(RetryAfter, BoundsWhatIsAbsurd) {
    const auto year = std::chrono::hours(24 * 365);
    EXPECT_EQ(parse_retry_after("99999999999999999999999", "", kNow), year);
    EXPECT_EQ(parse_retry_after("2147483647", "", kNow), year);
    EXPECT_EQ(parse_retry_after("Fri, 31 Dec 9999 23:59:59 GMT", "", kNow), year);
}

TEST(RetryAfter, TakesNothingElse) {
    for (const char* text : {"", " ", "-1", "+1", "1.5", "1e3", "0x10", "soon", "Sun, 06 Nov 1994 08:49:37",
                             "Sun, 06 Nov 1994 08:49:37 UTC", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun, 31 Feb 1994 08:49:37 GMT",
                             "Sun, 06 Nov 1994 25:49:37 GMT", "Sun, 06 Nov 1994 -8:49:37 GMT", "Sun, 06 Foo 1994 08:49:37 GMT"}) {
        EXPECT_EQ(parse_retry_after(text, "", kNow), std::nullopt) << text;
    }
}

TEST(RetryAfter, ADateIsComparedWithTheAnswersOwnClock) {
    EXPECT_EQ(parse_retry_after("Sun, 06 Nov 1994 08:50:37 GMT", "Sun, 06 Nov 1994 08:50:07 GMT", kNow + std::chrono::hours(24)),
              seconds(30));
    EXPECT_EQ(parse_retry_after("Sun, 06 Nov 1994 08:50:37 GMT", "yesterday", kNow), seconds(60)) << "a date that is none";
    EXPECT_EQ(parse_retry_after("120", "Sun, 06 Nov 1994 08:50:07 GMT", kNow), seconds(120));
}

}  // namespace
}  // namespace messaging::core
