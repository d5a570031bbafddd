// Times written and read as RFC 3339 has them.
#include "core/rfc3339.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace messaging::core {
namespace {

std::string read(std::string_view text) {
    const auto time = parse_rfc3339(text);
    return time ? format_rfc3339_us(*time) : "refused";
}

TEST(Rfc3339, ReadsTheFormsOfTheStandard) {
    EXPECT_EQ(read("2026-01-02T03:04:05Z"), "2026-01-02T03:04:05.000000Z");
    EXPECT_EQ(read("2026-01-02t03:04:05.6z"), "2026-01-02T03:04:05.600000Z");
    EXPECT_EQ(read("2026-01-02T03:04:05.6789019Z"), "2026-01-02T03:04:05.678901Z");
    EXPECT_EQ(read("2026-01-02T00:04:05+03:00"), "2026-01-01T21:04:05.000000Z");
    EXPECT_EQ(read("2025-12-31T23:30:00-01:15"), "2026-01-01T00:45:00.000000Z");
    EXPECT_EQ(read("2024-02-29T23:59:60Z"), "2024-03-01T00:00:00.000000Z") << "a leap second";
    EXPECT_EQ(read("0001-01-01T00:00:00Z"), "0001-01-01T00:00:00.000000Z");
    EXPECT_EQ(read("9999-12-31T23:59:59.999999Z"), "9999-12-31T23:59:59.999999Z");
}

TEST(Rfc3339, RefusesWhatIsNoTime) {
    for (const char* text : {"",
                             "2026-01-02",
                             "2026-01-02T03:04:05",
                             "2026-01-02 03:04:05Z",
                             "2026-01-02T03:04Z",
                             "2026-02-29T00:00:00Z",
                             "2026-13-01T00:00:00Z",
                             "2026-01-02T24:00:00Z",
                             "2026-01-02T03:60:05Z",
                             "2026-01-02T03:04:61Z",
                             "2026-01-02T03:04:05.Z",
                             "2026-01-02T03:04:05+3:00",
                             "2026-01-02T03:04:05+03:60",
                             "2026-01-02T03:04:05+24:00",
                             "2026-01-02T03:04:05ZZ",
                             "-026-01-02T03:04:05Z",
                             "0000-01-02T03:04:05Z",
                             "2026-01-02T03:-4:05Z",
                             "2026-01-02T03:04:05.1",
                             "yesterday",
                             "0001-01-01T00:00:00+03:00",
                             "9999-12-31T23:59:59-01:00",
                             "9999-12-31T23:59:60Z"}) {
        EXPECT_EQ(read(text), "refused") << text;
    }
}

TEST(Rfc3339, WritesMilliseconds) {
    EXPECT_EQ(format_rfc3339_ms(std::chrono::system_clock::time_point(std::chrono::milliseconds(1'767'323'045'078))),
              "2026-01-02T03:04:05.078Z");
    EXPECT_EQ(format_rfc3339_ms(std::chrono::system_clock::time_point(std::chrono::milliseconds(-1))),
              "1969-12-31T23:59:59.999Z");
}

RC_GTEST_PROP(Rfc3339Properties, IsReadAsItWasWritten, ()) {
    const Microseconds time(
        std::chrono::microseconds(*rc::gen::inRange<std::int64_t>(-62'135'596'800'000'000, 253'402'300'799'000'000)));
    RC_ASSERT(parse_rfc3339(format_rfc3339_us(time)) == time);
}

}  // namespace
}  // namespace messaging::core
