// Rows: one statement's answer, read by column position. Text format; owns its PGresult.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "pg/handles.h"

namespace messaging::pg {

class Rows {
public:
    Rows() = default;
    explicit Rows(ResultHandle result) : result_(std::move(result)) {}

    int size() const;
    // Rows changed, as the command tag says (INSERT, UPDATE, DELETE).
    std::int64_t affected() const;

    bool is_null(int row, int column) const;
    // Views are valid while this object lives.
    std::string_view text(int row, int column) const;
    std::optional<std::string> optional_text(int row, int column) const;
    std::int64_t bigint(int row, int column) const;
    std::optional<std::int64_t> optional_bigint(int row, int column) const;
    std::int32_t integer(int row, int column) const;
    double number(int row, int column) const;
    bool boolean(int row, int column) const;
    std::optional<std::int32_t> optional_integer(int row, int column) const;
    std::optional<double> optional_number(int row, int column) const;

private:
    ResultHandle result_;
};

}  // namespace messaging::pg
