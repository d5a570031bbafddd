// Look-ups in a request.
#include "http/message.h"

#include "http/text.h"

namespace messaging::http {
namespace {

std::optional<std::string_view> find(const std::vector<std::pair<std::string, std::string>>& pairs, std::string_view name) {
    for (const auto& [key, value] : pairs) {
        if (key == name) return value;
    }
    return std::nullopt;
}

}  // namespace

std::optional<std::string_view> Request::header(std::string_view name) const {
    for (const auto& [key, value] : headers) {
        if (equal_ignoring_case(key, name)) return value;
    }
    return std::nullopt;
}

std::optional<std::string_view> Request::query_parameter(std::string_view name) const { return find(query, name); }

std::string_view Request::path_parameter(std::string_view name) const { return find(path_parameters, name).value_or(""); }

}  // namespace messaging::http
