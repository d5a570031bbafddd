// Matching of paths against patterns.
#include "http_server/router.h"

#include <algorithm>
#include <set>
#include <utility>

namespace messaging::http_server {
namespace {

std::vector<std::string> split_path(std::string_view path) {
    std::vector<std::string> segments;
    if (!path.starts_with('/')) return segments;  // "*" of OPTIONS, CONNECT's authority: no route has them
    std::size_t begin = 1;
    while (begin <= path.size()) {
        const std::size_t end = std::min(path.find('/', begin), path.size());
        segments.emplace_back(path.substr(begin, end - begin));
        begin = end + 1;
    }
    return segments;
}

using Parameters = std::vector<std::pair<std::string, std::string>>;

bool matches(const std::vector<std::string>& pattern, const std::vector<std::string>& path, Parameters& parameters) {
    parameters.clear();
    for (std::size_t i = 0; i < pattern.size(); ++i) {
        const std::string& segment = pattern[i];
        const bool is_parameter = segment.starts_with('{');
        if (i >= path.size() || (is_parameter ? path[i].empty() : segment != path[i])) return false;
        if (is_parameter) parameters.emplace_back(segment.substr(1, segment.size() - 2), path[i]);
    }
    return pattern.size() == path.size();
}

}  // namespace

void Router::add(std::string method, std::string pattern, RequestHandler handler) {
    auto segments = split_path(pattern);
    routes_.push_back({std::move(method), std::move(pattern), std::move(segments), std::move(handler)});
}

void Router::route(http::Request request, Responder responder) const {
    const auto path = split_path(request.path);
    const std::string_view wanted = request.method == "HEAD" ? "GET" : std::string_view(request.method);
    Parameters parameters;
    for (const Route& route : routes_) {
        if (route.method != wanted || !matches(route.segments, path, parameters)) continue;
        request.path_parameters = std::move(parameters);
        route.handler(std::move(request), std::move(responder));
        return;
    }
    const std::string allow = allowed_instead(request.method, request.path).value_or("");
    fallback_(std::move(request), std::move(responder), allow);
}

std::optional<std::string> Router::allowed_instead(std::string_view method, std::string_view path) const {
    const auto segments = split_path(path);
    std::set<std::string> allowed;
    Parameters parameters;
    for (const Route& route : routes_) {
        if (!matches(route.segments, segments, parameters)) continue;
        allowed.insert(route.method);
        if (route.method == "GET") allowed.insert("HEAD");
    }
    if (allowed.contains(std::string(method))) return std::nullopt;
    std::string allow;
    for (const std::string& one : allowed) allow += (allow.empty() ? "" : ", ") + one;
    return allow;
}

std::string_view Router::pattern_of(std::string_view path) const {
    const auto segments = split_path(path);
    Parameters parameters;
    for (const Route& route : routes_) {
        if (matches(route.segments, segments, parameters)) return route.pattern;
    }
    return kUnmatched;
}

}  // namespace messaging::http_server
