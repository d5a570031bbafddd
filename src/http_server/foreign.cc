// What browsers tell about the page that a request comes from (Fetch Standard; W3C Fetch Metadata).
#include "http_server/foreign.h"

#include <arpa/inet.h>

#include <algorithm>

#include "http/text.h"

namespace messaging::http_server {
namespace {

// "example.com:8080" → "example.com", "[::1]:8080" → "::1"
std::string host_of(std::string_view authority) {
    if (authority.starts_with('[')) return std::string(authority.substr(1, authority.find(']') - 1));
    return std::string(authority.substr(0, authority.find(':')));
}

bool is_address(const std::string& host) {
    in6_addr ignored{};
    return inet_pton(AF_INET, host.c_str(), &ignored) == 1 || inet_pton(AF_INET6, host.c_str(), &ignored) == 1;
}

bool is_listed(const std::string& host, const std::vector<std::string>& own_hosts) {
    return std::any_of(own_hosts.begin(), own_hosts.end(),
                       [&](const std::string& own) { return http::equal_ignoring_case(own, host); });
}

// "https://example.com:8080" → "example.com:8080"; empty for "null".
std::string_view authority_of(std::string_view origin) {
    const std::size_t scheme = origin.find("://");
    return scheme == std::string_view::npos ? std::string_view() : origin.substr(scheme + 3);
}

bool has_word(const http::Request& request, std::string_view header, std::string_view word) {
    const auto value = request.header(header);
    return value && http::equal_ignoring_case(*value, word);
}

bool follows_link(const http::Request& request) {
    return request.method == "GET" && has_word(request, "sec-fetch-mode", "navigate") &&
           has_word(request, "sec-fetch-dest", "document");
}

// Whatever is not known to be harmless is not.
bool is_of_other_site(const http::Request& request) {
    const auto is_it = [&](std::string_view site) { return has_word(request, "sec-fetch-site", site); };
    return request.header("sec-fetch-site") && !is_it("same-origin") && !is_it("same-site") && !is_it("none");
}

}  // namespace

std::optional<std::string> why_foreign(const http::Request& request, const std::vector<std::string>& own_hosts, bool check_host) {
    const std::string_view authority = request.header("host").value_or("");
    if (is_of_other_site(request) && !follows_link(request)) {
        return "pages of other sites may not call this API (Sec-Fetch-Site)";
    }
    const auto origin = request.header("origin");
    const bool has_own_origin =
        origin && !authority.empty() && http::equal_ignoring_case(authority_of(*origin), authority);  // "null" has no authority
    if (origin && !has_own_origin && !is_listed(host_of(authority_of(*origin)), own_hosts)) {
        return "pages of other sites may not call this API (Origin)";
    }
    const std::string host = host_of(authority);
    if (check_host && !host.empty() && !is_address(host) && !http::equal_ignoring_case(host, "localhost") &&
        !is_listed(host, own_hosts)) {
        return "this Host is not in API_HOSTS: call the API by its address, or add the name to API_HOSTS";
    }
    return std::nullopt;
}

}  // namespace messaging::http_server
