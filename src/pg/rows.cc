// Reading of text-format columns.
#include "pg/rows.h"

#include <cstdlib>

#include "core/number.h"

namespace messaging::pg {
namespace {

// The columns are ours by type: text that is no number means that SQL and C++ disagree, which is a bug.
template <typename T>
T number_of(std::string_view text) {
    const auto value = core::parse_number<T>(text);
    if (!value) std::abort();
    return *value;
}

}  // namespace

int Rows::size() const { return result_ ? PQntuples(result_.get()) : 0; }

std::int64_t Rows::affected() const {
    const std::string_view count = result_ ? PQcmdTuples(result_.get()) : "";
    return count.empty() ? 0 : number_of<std::int64_t>(count);
}

bool Rows::is_null(int row, int column) const { return PQgetisnull(result_.get(), row, column) != 0; }

std::string_view Rows::text(int row, int column) const {
    return {PQgetvalue(result_.get(), row, column), static_cast<std::size_t>(PQgetlength(result_.get(), row, column))};
}

std::optional<std::string> Rows::optional_text(int row, int column) const {
    if (is_null(row, column)) return std::nullopt;
    return std::string(text(row, column));
}

std::int64_t Rows::bigint(int row, int column) const { return number_of<std::int64_t>(text(row, column)); }

std::int32_t Rows::integer(int row, int column) const { return number_of<std::int32_t>(text(row, column)); }

double Rows::number(int row, int column) const { return number_of<double>(text(row, column)); }

bool Rows::boolean(int row, int column) const { return text(row, column) == "t"; }

std::optional<std::int64_t> Rows::optional_bigint(int row, int column) const {
    return is_null(row, column) ? std::nullopt : std::optional(bigint(row, column));
}

std::optional<std::int32_t> Rows::optional_integer(int row, int column) const {
    return is_null(row, column) ? std::nullopt : std::optional(integer(row, column));
}

std::optional<double> Rows::optional_number(int row, int column) const {
    return is_null(row, column) ? std::nullopt : std::optional(number(row, column));
}

}  // namespace messaging::pg
