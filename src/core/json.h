// JSON: parses untrusted text into a document of bounded size, and writes the JSON that the service sends.
//
// RapidJSON 1.1.0 crashes on some numbers (CVE-2024-38517) and on deep nesting. So nothing else in the project may call its
// parser: this one parses iteratively, validates UTF-8, keeps numbers as text, and bounds the size, the depth and the number of
// values. Any thread; a JsonDocument belongs to one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.h"

namespace messaging::core {

struct JsonLimits {
    std::size_t max_bytes = 1u << 20;
    std::size_t max_depth = 32;
    std::size_t max_values = 50'000;  // each object, array, string, number and literal; one takes about 100 bytes of memory
};

class JsonDocument;

// A view of one value; valid while its JsonDocument lives.
class JsonView {
public:
    bool is_object() const;
    bool is_array() const;
    bool is_string() const;
    bool is_number() const;
    bool is_bool() const;
    bool is_null() const;

    // The text of a string or, as written, of a number. Precondition: is_string() || is_number().
    std::string_view text() const;
    bool boolean() const;
    // Where the value stands in the text that was parsed, as begin and length.
    std::pair<std::size_t, std::size_t> place() const;

    // Objects. Duplicate keys: the last one wins. nullopt when absent.
    std::optional<JsonView> member(std::string_view name) const;
    std::vector<std::string_view> keys() const;
    // Arrays.
    std::size_t size() const;
    JsonView at(std::size_t index) const;
    std::vector<JsonView> elements() const;

private:
    friend class JsonDocument;
    explicit JsonView(const void* node) : node_(node) {}
    const void* node_;
};

class JsonDocument {
public:
    // Error kind kInvalid; its message says what is wrong and at which byte offset, and never quotes the text.
    static Result<JsonDocument> parse(std::string_view text, const JsonLimits& limits = {});

    JsonDocument(JsonDocument&&) noexcept;
    JsonDocument& operator=(JsonDocument&&) noexcept;
    ~JsonDocument();

    JsonView root() const;

private:
    JsonDocument();
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

// The members of a JSON object whose values are strings. A name that occurs several times is returned as often, each time with
// its last value. Empty where the text is no JSON object.
std::vector<std::pair<std::string, std::string>> string_members(std::string_view text);

// The strings of a JSON array; none where the text is no JSON array.
std::vector<std::string> string_items(std::string_view text);

// Builds one JSON text. Strings that are not UTF-8 are written with U+FFFD in place of each bad byte, so the
// output is always valid JSON. Numbers that must survive JavaScript travel as strings: use string() for 64-bit ids.
class JsonWriter {
public:
    JsonWriter();
    ~JsonWriter();
    JsonWriter(const JsonWriter&) = delete;
    JsonWriter& operator=(const JsonWriter&) = delete;

    JsonWriter& begin_object();
    JsonWriter& end_object();
    JsonWriter& begin_array();
    JsonWriter& end_array();
    JsonWriter& key(std::string_view name);
    JsonWriter& string(std::string_view value);
    JsonWriter& integer(std::int64_t value);
    JsonWriter& number(double value);
    JsonWriter& boolean(bool value);
    JsonWriter& null();
    // A value that is JSON already. Precondition: it is valid.
    JsonWriter& json(std::string_view value);

    // The text so far; complete when every begin has its end.
    std::string_view text() const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace messaging::core
