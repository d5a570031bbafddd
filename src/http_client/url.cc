// URLs as curl reads them.
#include "http_client/url.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "http/text.h"
#include "http_client/handles.h"

namespace messaging::http_client {
namespace {

core::Error wrong(std::string message) { return {core::ErrorKind::kInvalid, std::move(message)}; }

core::Result<CurlUrlHandle> parsed(const std::string& url) {
    if (url.find('\0') != std::string::npos) return wrong("must not contain a NUL character");
    CurlUrlHandle handle(curl_url());
    if (curl_url_set(handle.get(), CURLUPART_URL, url.c_str(), CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK) {
        return wrong("must be an absolute URL such as https://example.com/hook");
    }
    return handle;
}

std::optional<std::string> part(const CurlUrlHandle& url, CURLUPart which) {
    char* text = nullptr;
    if (curl_url_get(url.get(), which, &text, 0) != CURLUE_OK) return std::nullopt;
    std::string value = text;
    curl_free(text);
    return value;
}

core::Result<core::Unit> check(const CurlUrlHandle& url) {
    const std::string scheme = part(url, CURLUPART_SCHEME).value_or("");
    if (scheme != "http" && scheme != "https") return wrong("must begin with http:// or https://");
    if (part(url, CURLUPART_HOST).value_or("").empty()) return wrong("must name a host");
    if (!part(url, CURLUPART_USER).value_or("").empty() || !part(url, CURLUPART_PASSWORD).value_or("").empty()) {
        return wrong("must not contain a user name or password: send a header instead");
    }
    return core::Unit{};
}

// curl has decoded percent signs, and has made most notations of IPv4 addresses canonical. What it leaves (127.1 with a dot
// behind it, digits of another script) the system's resolver reads by inet_aton.
std::optional<core::IpAddress> literal(const std::string& host) {
    if (host.starts_with('[') && host.ends_with(']')) return core::IpAddress::parse(host.substr(1, host.size() - 2));
    in_addr address{};
    if (inet_aton(host.c_str(), &address) == 0) return std::nullopt;
    core::IpAddress::V4 bytes{};
    std::memcpy(bytes.data(), &address, bytes.size());
    return core::IpAddress(bytes);
}

bool means_loopback(std::string_view host) {
    constexpr std::string_view kLocalhost = "localhost";
    if (host.size() < kLocalhost.size()) return false;
    const std::size_t begin = host.size() - kLocalhost.size();
    return http::equal_ignoring_case(host.substr(begin), kLocalhost) && (begin == 0 || host[begin - 1] == '.');
}

}  // namespace

core::Result<core::Unit> check_url(const std::string& url) {
    const auto handle = parsed(url);
    return handle ? check(handle.value()) : handle.error();
}

core::Result<core::Unit> check_target(const std::string& url, const core::AddressPolicy& policy) {
    const auto handle = parsed(url);
    if (!handle) return handle.error();
    if (auto checked = check(handle.value()); !checked) return checked;
    auto host = part(handle.value(), CURLUPART_HOST);
    // curl 7.88 makes no ASCII form (RFC 5891) of such a name in the C locale, and leaks the name where it is asked for one.
    const bool is_ascii = host && std::all_of(host->begin(), host->end(), [](char c) { return c >= '!' && c <= '~'; });
    if (!is_ascii) return wrong("has a host name with letters beyond ASCII: write its ASCII form (xn--…)");
    while (host->ends_with('.')) host->pop_back();
    if (const auto address = literal(*host)) {
        const auto refusal = policy.refusal(*address);
        if (refusal) return wrong("must not name an address that is not public: " + *refusal);
    } else if (means_loopback(*host)) {
        const auto refusal = policy.refusal(core::IpAddress(core::IpAddress::V4{127, 0, 0, 1}));
        if (refusal) return wrong("must not name this machine: " + *host + " means 127.0.0.1, and " + *refusal);
    }
    return core::Unit{};
}

}  // namespace messaging::http_client
