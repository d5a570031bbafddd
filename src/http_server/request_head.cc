// Reads a request head line by line.
#include "http_server/request_head.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "core/number.h"
#include "http/text.h"
#include "http_server/target.h"

namespace messaging::http_server {
namespace {

core::Error wrong(std::string what) { return {core::ErrorKind::kInvalid, std::move(what)}; }

bool is_visible(char c) { return static_cast<unsigned char>(c) > ' ' && c != '\x7f'; }
bool is_field_character(char c) { return c == '\t' || static_cast<unsigned char>(c) >= ' '; }

// "GET /path HTTP/1.1"
core::Result<core::Unit> read_request_line(std::string_view line, http::Request& request, bool& is_1_1) {
    const std::size_t first = line.find(' ');
    const std::size_t last = line.rfind(' ');
    if (first == std::string_view::npos || first == last) return wrong("the request line must be METHOD TARGET HTTP/1.1");
    const std::string_view method = line.substr(0, first);
    const std::string_view target = line.substr(first + 1, last - first - 1);
    const std::string_view version = line.substr(last + 1);
    if (!http::is_token(method)) return wrong("the method has a character that HTTP does not allow");
    if (target.empty() || !std::all_of(target.begin(), target.end(), is_visible))
        return wrong("the target is empty, or has a blank or a control character");
    if (version != "HTTP/1.1" && version != "HTTP/1.0") return wrong("the version must be HTTP/1.1");
    is_1_1 = version == "HTTP/1.1";
    request.method = method;
    read_target(target, request);
    return core::Unit{};
}

core::Result<core::Unit> read_header(std::string_view line, http::Request& request) {
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || !http::is_token(line.substr(0, colon))) return wrong("a header has no name");
    const std::string_view value = http::trimmed(line.substr(colon + 1));
    if (!std::all_of(value.begin(), value.end(), is_field_character)) return wrong("a header has a control character");
    request.headers.emplace_back(line.substr(0, colon), value);
    return core::Unit{};
}

// How often a header is there.
std::ptrdiff_t count(const http::Request& request, std::string_view name) {
    return std::count_if(request.headers.begin(), request.headers.end(),
                         [&](const auto& header) { return http::equal_ignoring_case(header.first, name); });
}

bool is_host_character(char c) {
    const bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    return is_letter || std::string_view("-._~%!$&'()*+,;=").find(c) != std::string_view::npos;
}

// A name or an address, with or without a port (RFC 9110, 7.2); it may be empty.
bool is_host(std::string_view text) {
    if (text.starts_with('[')) {
        const std::size_t end = text.find(']');
        const std::string_view address = text.substr(1, end == std::string_view::npos ? 0 : end - 1);
        if (address.empty() || address.find_first_not_of("0123456789abcdefABCDEF:.") != std::string_view::npos) return false;
        text.remove_prefix(end + 1);
    } else {
        text.remove_prefix(
            static_cast<std::size_t>(std::find_if_not(text.begin(), text.end(), is_host_character) - text.begin()));
    }
    if (text.empty()) return true;
    return text.starts_with(':') && text.find_first_not_of("0123456789", 1) == std::string_view::npos;
}

// Two of them would be two meanings.
constexpr std::array<std::string_view, 7> kSingleHeaders = {"Host",   "Content-Length", "Authorization",  "Content-Type",
                                                            "Origin", "Sec-Fetch-Site", "Idempotency-Key"};

core::Result<core::Unit> check_headers(const http::Request& request, bool is_1_1) {
    for (const std::string_view name : kSingleHeaders) {
        if (count(request, name) > 1) return wrong("there is more than one " + std::string(name));
    }
    if (is_1_1 && !request.header("host")) return wrong("HTTP/1.1 needs a Host header");
    if (!is_host(request.header("host").value_or(""))) return wrong("Host must be a name or an address, with or without a port");
    return core::Unit{};
}

core::Result<core::Unit> read_framing(RequestHead& head, bool is_1_1) {
    const http::Request& request = head.request;
    const auto checked = check_headers(request, is_1_1);
    if (!checked) return checked.error();
    const std::string_view coding = request.header("transfer-encoding").value_or("");
    const std::string_view length = request.header("content-length").value_or("");
    if (count(request, "transfer-encoding") > 0) {
        if (!is_1_1 || !http::equal_ignoring_case(coding, "chunked") || count(request, "transfer-encoding") > 1 ||
            count(request, "content-length") > 0) {
            return wrong("Transfer-Encoding must be chunked, and stand alone");
        }
        head.chunked = true;
    } else if (count(request, "content-length") == 1) {
        const auto number = core::parse_number<decltype(head.content_length)>(length);
        if (!number) return wrong("Content-Length is not a number");
        head.content_length = *number;
    }
    return core::Unit{};
}

}  // namespace

bool RequestHead::may_have_body() const {
    return request.method == "POST" || request.method == "PUT" || request.method == "PATCH";
}

std::size_t find_head_end(std::string_view text, std::size_t from) {
    for (std::size_t at = text.find('\n', from); at != std::string_view::npos; at = text.find('\n', at + 1)) {
        const std::string_view rest = text.substr(at + 1);
        if (rest.starts_with('\n')) return at + 2;
        if (rest.starts_with("\r\n")) return at + 3;
    }
    return 0;
}

core::Result<RequestHead> parse_head(std::string_view text) {
    RequestHead head;
    bool is_1_1 = false;
    bool is_first = true;
    while (!text.empty()) {
        const std::size_t end = text.find('\n');
        if (end == std::string_view::npos || end == 0 || text[end - 1] != '\r') return wrong("a line must end with CR LF");
        const std::string_view line = text.substr(0, end - 1);
        text.remove_prefix(end + 1);
        if (line.empty() && !is_first) break;
        const auto read = is_first ? read_request_line(line, head.request, is_1_1) : read_header(line, head.request);
        if (!read) return read.error();
        is_first = false;
    }
    const auto framed = read_framing(head, is_1_1);
    if (!framed) return framed.error();
    return head;
}

}  // namespace messaging::http_server
