// What holds of every text that is cleaned, and of every JSON text that is written.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "core/json.h"
#include "core/text.h"

namespace messaging::core {
namespace {

// Code points of every length in UTF-8, NUL left out.
std::string any_utf8() {
    std::string text;
    for (const auto& piece : *rc::gen::container<std::vector<std::string>>(rc::gen::element<std::string>(
             "a", "\"", "\\", "\n", "\x01", "\x7f", "ğ", "ß", "€", "中", "\xEF\xBF\xBF", "😀", "\xF4\x8F\xBF\xBF"))) {
        text += piece;
    }
    return text;
}

RC_GTEST_PROP(TextProperties, CleanedTextIsUtf8WithoutNulAndShortEnough, (const std::string& bytes)) {
    const auto limit = *rc::gen::inRange<std::size_t>(0, 40);
    const std::string cleaned = clean_text(bytes, limit);
    RC_ASSERT(is_utf8(cleaned));
    RC_ASSERT(cleaned.find('\0') == std::string::npos);
    RC_ASSERT(cleaned.size() <= limit);
    RC_ASSERT(clean_text(cleaned, limit) == cleaned);
}

RC_GTEST_PROP(TextProperties, GoodTextStaysAsItIsAndIsCutAtACharacter, ()) {
    const std::string text = any_utf8();
    const auto limit = *rc::gen::inRange<std::size_t>(0, 40);
    const std::string cleaned = clean_text(text, limit);
    RC_ASSERT(text.starts_with(cleaned));
    RC_ASSERT(cleaned.size() == text.size() || cleaned.size() + 4 > limit);
}

RC_GTEST_PROP(JsonProperties, WhatIsWrittenReadsTheSame, ()) {
    const std::string name = any_utf8();
    const std::string value = any_utf8();
    const auto number = *rc::gen::arbitrary<std::int64_t>();
    JsonWriter json;
    json.begin_object();
    json.key(name).begin_array().string(value).integer(number).null().end_array();
    json.end_object();
    const auto document = JsonDocument::parse(json.text());
    RC_ASSERT(document.ok());
    const auto array = document->root().member(name);
    RC_ASSERT(array && array->is_array() && array->size() == 3u);
    RC_ASSERT(array->at(0).text() == value);
    RC_ASSERT(array->at(1).text() == std::to_string(number));
    RC_ASSERT(array->at(2).is_null());
}

RC_GTEST_PROP(JsonProperties, AnyBytesAreWrittenAsJsonThatCanBeRead, (const std::string& bytes)) {
    JsonWriter json;
    json.string(bytes);
    const auto document = JsonDocument::parse(json.text());
    RC_ASSERT(document.ok());
    if (is_utf8(bytes)) RC_ASSERT(document->root().text() == bytes);
}

}  // namespace
}  // namespace messaging::core
