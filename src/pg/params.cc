// The binary encodings of PostgreSQL's array types (src/backend/utils/adt/arrayfuncs.c, array_recv).
#include "pg/params.h"

#include <algorithm>
#include <type_traits>
#include <utility>

namespace messaging::pg {
namespace {

constexpr std::int32_t kInt8Oid = 20;
constexpr std::int32_t kInt4Oid = 23;
constexpr std::int32_t kTextOid = 25;

template <typename T>
void append_network_order(std::string& out, T value) {
    const auto bits = static_cast<std::make_unsigned_t<T>>(value);
    for (int shift = static_cast<int>(sizeof(T)) * 8 - 8; shift >= 0; shift -= 8) {
        out.push_back(static_cast<char>(static_cast<unsigned char>(bits >> shift)));
    }
}

// Dimensions, null flag, element type, then size and lower bound of the one dimension; an empty array has no dimension.
std::string array_header(std::size_t size, bool has_nulls, std::int32_t element_oid) {
    std::string header;
    append_network_order<std::int32_t>(header, size == 0 ? 0 : 1);
    append_network_order<std::int32_t>(header, has_nulls ? 1 : 0);
    append_network_order(header, element_oid);
    if (size > 0) {
        append_network_order(header, static_cast<std::int32_t>(size));
        append_network_order<std::int32_t>(header, 1);
    }
    return header;
}

template <typename T>
void append_element(std::string& out, const T& value) {
    append_network_order(out, static_cast<std::int32_t>(sizeof(T)));
    append_network_order(out, value);
}

template <typename T>
std::string number_array(std::span<const T> values, std::int32_t oid) {
    std::string bytes = array_header(values.size(), false, oid);
    bytes.reserve(bytes.size() + values.size() * (4 + sizeof(T)));
    for (const T value : values) append_element(bytes, value);
    return bytes;
}

void append_text(std::string& out, const std::string& value) {
    append_network_order(out, static_cast<std::int32_t>(value.size()));
    out += value;
}

template <typename T, typename Append>
std::string nullable_array(std::span<const std::optional<T>> values, std::int32_t oid, Append append) {
    const bool has_nulls = std::any_of(values.begin(), values.end(), [](const auto& value) { return !value; });
    std::string bytes = array_header(values.size(), has_nulls, oid);
    for (const auto& value : values) {
        if (value) {
            append(bytes, *value);
        } else {
            append_network_order<std::int32_t>(bytes, -1);
        }
    }
    return bytes;
}

}  // namespace

Params& Params::text(std::string_view value) {
    values_.push_back({std::string(value), false, false});
    return *this;
}

Params& Params::optional_text(const std::optional<std::string>& value) { return value ? text(*value) : null(); }

Params& Params::integer(std::int32_t value) { return text(std::to_string(value)); }

Params& Params::optional_integer(const std::optional<std::int32_t>& value) { return value ? integer(*value) : null(); }

Params& Params::optional_bigint(const std::optional<std::int64_t>& value) { return value ? bigint(*value) : null(); }

Params& Params::bigint(std::int64_t value) { return text(std::to_string(value)); }

Params& Params::boolean(bool value) { return text(std::string_view(value ? "t" : "f")); }

Params& Params::null() {
    values_.push_back({"", true, false});
    return *this;
}

Params& Params::bigint_array(std::span<const std::int64_t> values) {
    values_.push_back({number_array(values, kInt8Oid), false, true});
    return *this;
}

Params& Params::integer_array(std::span<const std::int32_t> values) {
    values_.push_back({number_array(values, kInt4Oid), false, true});
    return *this;
}

Params& Params::integer_array(std::span<const std::optional<std::int32_t>> values) {
    values_.push_back({nullable_array(values, kInt4Oid, append_element<std::int32_t>), false, true});
    return *this;
}

Params& Params::text_array(std::span<const std::optional<std::string>> values) {
    values_.push_back({nullable_array(values, kTextOid, append_text), false, true});
    return *this;
}

Params& Params::text_array(std::span<const std::string> values) {
    const std::vector<std::optional<std::string>> optionals(values.begin(), values.end());
    return text_array(std::span<const std::optional<std::string>>(optionals));
}

std::size_t Params::bytes() const {
    std::size_t sum = 0;
    for (const Value& value : values_) sum += value.bytes.size();
    return sum;
}

}  // namespace messaging::pg
