// Checks and compares text as HTTP does.
#include "http/text.h"

#include <strings.h>

#include <algorithm>

namespace messaging::http {

bool is_token(std::string_view text) {
    const auto is_token_character = [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
    };
    return !text.empty() && std::all_of(text.begin(), text.end(), is_token_character);
}

bool equal_ignoring_case(std::string_view left, std::string_view right) {
    if (left.size() != right.size()) return false;
    return left.empty() || strncasecmp(left.data(), right.data(), left.size()) == 0;
}

}  // namespace messaging::http
