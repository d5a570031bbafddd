// The bytes that go to PostgreSQL as arguments.
#include "pg/params.h"

#include <gtest/gtest.h>

#include <array>
#include <limits>

namespace messaging::pg {
namespace {

using std::string_literals::operator""s;

TEST(Params, NumbersTextAndTruthValuesAreText) {
    Params params;
    params.text("héllo").integer(-7).bigint(std::numeric_limits<std::int64_t>::min()).boolean(true).boolean(false);
    ASSERT_EQ(params.count(), 5);
    EXPECT_EQ(params.values()[0].bytes, "héllo");
    EXPECT_EQ(params.values()[1].bytes, "-7");
    EXPECT_EQ(params.values()[2].bytes, "-9223372036854775808");
    EXPECT_EQ(params.values()[3].bytes, "t");
    EXPECT_EQ(params.values()[4].bytes, "f");
    for (const auto& value : params.values()) EXPECT_FALSE(value.binary || value.is_null);
}

TEST(Params, AnAbsentTextIsNullAndAnEmptyOneIsNot) {
    Params params;
    params.optional_text(std::nullopt).optional_text("").null();
    EXPECT_TRUE(params.values()[0].is_null);
    EXPECT_FALSE(params.values()[1].is_null);
    EXPECT_TRUE(params.values()[2].is_null);
}

TEST(Params, ABigintArrayIsPostgresBinaryFormat) {
    const std::array<std::int64_t, 2> values{1, -2};
    Params params;
    params.bigint_array(values);
    EXPECT_TRUE(params.values()[0].binary);
    EXPECT_EQ(params.values()[0].bytes,
              "\0\0\0\1\0\0\0\0\0\0\0\x14\0\0\0\2\0\0\0\1"
              "\0\0\0\x08\0\0\0\0\0\0\0\1"
              "\0\0\0\x08\xff\xff\xff\xff\xff\xff\xff\xfe"s);
}

TEST(Params, AnEmptyArrayHasNoDimension) {
    Params params;
    params.integer_array(std::span<const std::int32_t>{});
    EXPECT_EQ(params.values()[0].bytes, "\0\0\0\0\0\0\0\0\0\0\0\x17"s);
}

TEST(Params, AnAbsentElementIsANullWithTheFlagSet) {
    const std::array<std::optional<std::int32_t>, 2> values{std::nullopt, 200};
    Params params;
    params.integer_array(values);
    EXPECT_EQ(params.values()[0].bytes,
              "\0\0\0\1\0\0\0\1\0\0\0\x17\0\0\0\2\0\0\0\1"
              "\xff\xff\xff\xff"
              "\0\0\0\4\0\0\0\xc8"s);
}

TEST(Params, TextArraysCarryTheirLengths) {
    const std::array<std::string, 2> values{"", "ab"};
    Params params;
    params.text_array(values);
    EXPECT_EQ(params.values()[0].bytes,
              "\0\0\0\1\0\0\0\0\0\0\0\x19\0\0\0\2\0\0\0\1"
              "\0\0\0\0"
              "\0\0\0\2ab"s);
}

}  // namespace
}  // namespace messaging::pg
