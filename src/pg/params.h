// Params: the arguments of one statement, in the binary format where PostgreSQL would otherwise parse numerals.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace messaging::pg {

// Arguments in order, $1 first. Arrays travel in binary (measured: they spare parsing thousands of numerals, and
// one plan serves any batch size). Text must be valid UTF-8 without NUL; see core/text.h.
class Params {
public:
    Params& text(std::string_view value);
    Params& optional_text(const std::optional<std::string>& value);  // nullopt = NULL
    Params& integer(std::int32_t value);
    Params& optional_integer(const std::optional<std::int32_t>& value);  // nullopt = NULL
    Params& bigint(std::int64_t value);
    Params& optional_bigint(const std::optional<std::int64_t>& value);  // nullopt = NULL
    Params& boolean(bool value);
    Params& null();
    Params& bigint_array(std::span<const std::int64_t> values);
    Params& integer_array(std::span<const std::int32_t> values);
    Params& integer_array(std::span<const std::optional<std::int32_t>> values);  // nullopt = NULL
    Params& text_array(std::span<const std::optional<std::string>> values);
    Params& text_array(std::span<const std::string> values);

    int count() const { return static_cast<int>(values_.size()); }
    std::size_t bytes() const;  // of all values

    struct Value {
        std::string bytes;
        bool is_null = false;
        bool binary = false;
    };
    const std::vector<Value>& values() const { return values_; }

private:
    std::vector<Value> values_;
};

}  // namespace messaging::pg
