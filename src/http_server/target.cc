// Decoding of request targets.
#include "http_server/target.h"

#include <algorithm>

#include "core/percent.h"

namespace messaging::http_server {
namespace {

void read_query(std::string_view query, http::Request& request) {
    while (!query.empty()) {
        const std::string_view pair = query.substr(0, query.find('&'));
        query.remove_prefix(std::min(query.size(), pair.size() + 1));
        if (pair.empty()) continue;
        const std::size_t equals = std::min(pair.find('='), pair.size());
        const std::string_view value = equals < pair.size() ? pair.substr(equals + 1) : std::string_view();
        request.query.emplace_back(core::percent_decoded(pair.substr(0, equals), core::Plus::kBlank),
                                   core::percent_decoded(value, core::Plus::kBlank));
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
    request.path = core::percent_decoded(target.substr(0, question));
    if (question < target.size()) read_query(target.substr(question + 1), request);
}

}  // namespace messaging::http_server
