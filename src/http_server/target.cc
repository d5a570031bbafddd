// Decoding of request targets.
#include "http_server/target.h"

#include <algorithm>
#include <string>

namespace messaging::http_server {
namespace {

int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

// Escapes that are not well-formed stay as they are.
std::string percent_decoded(std::string_view text, bool plus_is_space) {
    std::string decoded;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const int high = text[i] == '%' && i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
        const int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
        if (low >= 0) {
            decoded.push_back(static_cast<char>(high * 16 + low));
            i += 2;
        } else {
            decoded.push_back(plus_is_space && text[i] == '+' ? ' ' : text[i]);
        }
    }
    return decoded;
}

void read_query(std::string_view query, http::Request& request) {
    while (!query.empty()) {
        const std::string_view pair = query.substr(0, query.find('&'));
        query.remove_prefix(std::min(query.size(), pair.size() + 1));
        if (pair.empty()) continue;
        const std::size_t equals = std::min(pair.find('='), pair.size());
        const std::string_view value = equals < pair.size() ? pair.substr(equals + 1) : std::string_view();
        request.query.emplace_back(percent_decoded(pair.substr(0, equals), true), percent_decoded(value, true));
    }
}

// The path and query of a request target: a proxy's absolute form names the server in front of them (RFC 9112, 3.2.2).
std::string_view origin_form(std::string_view target) {
    const std::size_t scheme = target.find("://");
    if (target.starts_with('/') || scheme == std::string_view::npos) return target;
    const std::size_t path = target.find_first_of("/?", scheme + 3);
    return path == std::string_view::npos ? std::string_view("/") : target.substr(path);
}

}  // namespace

void read_target(std::string_view target, http::Request& request) {
    target = origin_form(target);
    const std::size_t question = std::min(target.find('?'), target.size());
    request.path = percent_decoded(target.substr(0, question), false);
    if (question < target.size()) read_query(target.substr(question + 1), request);
}

}  // namespace messaging::http_server
