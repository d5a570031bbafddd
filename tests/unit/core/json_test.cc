// The door to RapidJSON, against hostile text.
#include "core/json.h"

#include <gtest/gtest.h>

namespace messaging::core {
namespace {

bool parses(const std::string& text, JsonLimits limits = {}) { return JsonDocument::parse(text, limits).ok(); }

TEST(Json, ReadsEveryKindOfValue) {
    const auto document = JsonDocument::parse(R"({"s":"x\u00e9","n":-1.5e3,"t":true,"z":null,"a":[1,[2]],"o":{"k":"v"}})");
    ASSERT_TRUE(document.ok());
    const JsonView root = document->root();
    EXPECT_EQ(root.member("s")->text(), "x\xC3\xA9");
    EXPECT_EQ(root.member("n")->text(), "-1.5e3") << "a number stays as written";
    EXPECT_TRUE(root.member("n")->is_number());
    EXPECT_TRUE(root.member("t")->boolean());
    EXPECT_TRUE(root.member("z")->is_null());
    EXPECT_EQ(root.member("a")->at(1).at(0).text(), "2");
    EXPECT_EQ(root.member("o")->member("k")->text(), "v");
    EXPECT_FALSE(root.member("missing"));
    EXPECT_EQ(root.keys().size(), 6u);
}

TEST(Json, KnowsWhereEachValueStandsInTheText) {
    const std::string text =
        "\xEF\xBB\xBF { \"a\" : [ 1 , -2.50e+3,\t\"x\\n]\" ,null , { } ,[ ]], \"b\":{\"c\":true } , \"d\":\"\" }  ";
    const auto document = JsonDocument::parse(text);
    ASSERT_TRUE(document.ok()) << document.error().message;
    const auto written = [&text](const JsonView& value) {
        const auto [begin, length] = value.place();
        return text.substr(begin, length);
    };
    const JsonView root = document->root();
    EXPECT_EQ(written(root), text.substr(4, text.size() - 6));
    const JsonView a = *root.member("a");
    EXPECT_EQ(written(a), "[ 1 , -2.50e+3,\t\"x\\n]\" ,null , { } ,[ ]]");
    EXPECT_EQ(written(a.at(0)), "1");
    EXPECT_EQ(written(a.at(1)), "-2.50e+3");
    EXPECT_EQ(written(a.at(2)), "\"x\\n]\"");
    EXPECT_EQ(written(a.at(3)), "null");
    EXPECT_EQ(written(a.at(4)), "{ }");
    EXPECT_EQ(written(a.at(5)), "[ ]");
    EXPECT_EQ(written(*root.member("b")), "{\"c\":true }");
    EXPECT_EQ(written(*root.member("b")->member("c")), "true");
    EXPECT_EQ(written(*root.member("d")), "\"\"");
}

TEST(Json, TellsWhereAValueStandsAndWritesItAsItIs) {
    const std::string values[] = {"{ \"k\" : [1.50 ,{}] }", "[ ]", "{}", "-1.5e+3", "\"\\u00e9 \xC3\xA9 \\\"}\"", "null", "true"};
    for (const std::string& value : values) {
        const std::string text = " {\"a\" : [ 1,2 ],\n\"b\":\t" + value + " , \"c\":{\"d\":" + value + "}} ";
        const auto document = JsonDocument::parse(text);
        ASSERT_TRUE(document.ok()) << text;
        const auto at = [&](const JsonView& view) { return text.substr(view.place().first, view.place().second); };
        EXPECT_EQ(at(*document->root().member("b")), value);
        EXPECT_EQ(at(*document->root().member("c")->member("d")), value);
        EXPECT_EQ(at(document->root().member("a")->at(1)), "2");
        JsonWriter json;
        json.begin_object().key("x").json(at(*document->root().member("b"))).key("y").integer(1).end_object();
        EXPECT_EQ(json.text(), "{\"x\":" + value + ",\"y\":1}");
    }
}

// The reader ended there: what followed was accepted unread.
TEST(Json, RefusesTheCharacterNulWhereverItIs) {
    const std::string nul(1, '\0');
    for (const std::string& text : {R"({"a":1})" + nul, R"({"a":1})" + nul + "garbage", R"({"a":1} )" + nul + R"({"b":2})",
                                    nul + R"({"a":1})", R"({"a")" + nul + ":1}", R"({"a":"x)" + nul + R"(y"})", nul, "1" + nul}) {
        EXPECT_FALSE(parses(text)) << text;
    }
    EXPECT_EQ(JsonDocument::parse("{}" + nul).error().message, "not valid JSON at byte 2: the character NUL");
}

// Two million numbers in 4 MB took 420 MB and most of a second of the API's loop.
TEST(Json, RefusesMoreValuesThanItsLimit) {
    const auto numbers = [](int count) {
        std::string text = "[1";
        for (int i = 1; i < count; ++i) text += ",1";
        return text + "]";
    };
    JsonLimits limits;
    limits.max_values = 100;
    EXPECT_TRUE(parses(numbers(99), limits));
    EXPECT_FALSE(parses(numbers(100), limits)) << "the array is one of them";
    EXPECT_EQ(JsonDocument::parse(numbers(200'000)).error().message, "the JSON text has more than 50000 values");
    EXPECT_FALSE(parses(R"({"a":[{},{},[]],"b":null})", {.max_values = 5}));
    EXPECT_TRUE(parses(R"({"a":[{},{},[]],"b":null})", {.max_values = 6}));
}

TEST(Json, TheLastOfTwoEqualKeysWins) { EXPECT_EQ(JsonDocument::parse(R"({"a":"1","a":"2"})")->root().member("a")->text(), "2"); }

// CVE-2024-38517: the exponent overflows an int in RapidJSON 1.1.0.
TEST(Json, SurvivesTheNumberThatCrashesRapidJson) {
    EXPECT_TRUE(parses("1." + std::string(100, '1') + "e-2147483638"));
    EXPECT_FALSE(parses("[1e99999999999999999999]"));
}

TEST(Json, RefusesDepthBeyondItsLimit) {
    EXPECT_TRUE(parses(std::string(32, '[') + std::string(32, ']')));
    EXPECT_FALSE(parses(std::string(33, '[') + std::string(33, ']')));
    EXPECT_FALSE(parses(std::string(200'000, '[')));
    EXPECT_FALSE(parses(R"({"a":)" + std::string(40, '[')));
}

TEST(Json, RefusesMoreBytesThanItsLimit) {
    EXPECT_TRUE(parses("\"12345678\"", {10, 32}));
    EXPECT_FALSE(parses("\"123456789\"", {10, 32}));
}

TEST(Json, RefusesWhatIsNotJson) {
    for (const char* text : {"",
                             " ",
                             "{",
                             "[1,]",
                             "{\"a\"}",
                             "'a'",
                             "nul",
                             "01",
                             "+1",
                             ".5",
                             "1.",
                             "\"\t\"",
                             "\"\xFF\"",
                             "\"\xED\xA0\x80\"",
                             "\"\\ud800\"",
                             "\"\\ude00\"",
                             "\"\\ud31d\\ude00\"",
                             "{\"\\ude00\":1}",
                             "{} {}",
                             "NaN",
                             "// x"}) {
        const auto document = JsonDocument::parse(text);
        EXPECT_FALSE(document.ok()) << text;
        if (!document) {
            EXPECT_EQ(document.error().kind, ErrorKind::kInvalid);
        }
    }
}

TEST(Json, AnErrorNamesThePlaceAndNeverQuotesTheText) {
    const auto document = JsonDocument::parse(R"({"key": secret})");
    ASSERT_FALSE(document.ok());
    EXPECT_EQ(document.error().message.find("secret"), std::string::npos);
    EXPECT_NE(document.error().message.find('8'), std::string::npos) << document.error().message;
}

TEST(Json, AWriterWritesValidJsonWhateverItIsGiven) {
    JsonWriter json;
    json.begin_object()
        .key("a\"b")
        .string(std::string_view("\0\xFF\n\"", 4))
        .key("n")
        .number(1.0 / 0.0)
        .key("i")
        .integer(-5)
        .end_object();
    const auto back = JsonDocument::parse(json.text());
    ASSERT_TRUE(back.ok()) << json.text();
    EXPECT_EQ(back->root().member("i")->text(), "-5");
    EXPECT_TRUE(back->root().member("a\"b"));
}

// RapidJSON 1.1 with RAPIDJSON_SSE2 leaves 0x1A to 0x1F as they are in texts of 16 bytes and more.
TEST(JsonWriter, EscapesEveryControlCharacterWhereverItStands) {
    for (char control = 0; control < 0x20; ++control) {
        for (std::size_t place = 0; place < 40; ++place) {
            std::string text(40, 'x');
            text[place] = control;
            JsonWriter json;
            json.string(text);
            EXPECT_EQ(json.text().find(control), std::string_view::npos) << static_cast<int>(control) << " at " << place;
            const auto document = JsonDocument::parse(json.text());
            ASSERT_TRUE(document.ok());
            EXPECT_EQ(document->root().text(), text);
        }
    }
}

}  // namespace
}  // namespace messaging::core
