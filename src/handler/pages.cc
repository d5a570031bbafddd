// Reads the pages into memory, and answers with headers for caching and a content security policy.
#include "handler/pages.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string_view>
#include <vector>

#include "crypto/digest.h"
#include "http/text.h"

namespace messaging::handler {
namespace {

constexpr std::string_view kGzip = ".gz";
// Swagger UI writes styles into the page and draws small images from data: addresses; everything else comes from here.
constexpr const char* kContentSecurityPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const char* content_type_of(std::string_view file) {
    if (file.ends_with(".html")) return "text/html; charset=utf-8";
    if (file.ends_with(".css")) return "text/css; charset=utf-8";
    if (file.ends_with(".js")) return "text/javascript; charset=utf-8";
    if (file.ends_with(".json")) return "application/json";
    if (file.ends_with(".txt")) return "text/plain; charset=utf-8";
    if (file.ends_with(".png")) return "image/png";
    return "application/octet-stream";
}

// Each item of a comma-separated header, without blanks.
std::vector<std::string> items_of(const http::Request& request, const char* header) {
    std::vector<std::string> items(1);
    for (const char c : request.header(header).value_or("")) {
        if (c == ',') {
            items.emplace_back();
        } else if (c != ' ' && c != '\t') {
            items.back().push_back(c);
        }
    }
    return items;
}

// RFC 9110, 12.5.3: case does not matter, and a weight of 0 (also written 0.0 or 0.000) means "not this one".
bool takes_gzip(const http::Request& request) {
    const auto items = items_of(request, "accept-encoding");
    return std::any_of(items.begin(), items.end(), [](std::string_view item) {
        const std::size_t semicolon = std::min(item.find(';'), item.size());
        const std::string_view weight = item.substr(semicolon);
        const bool is_zero =
            http::equal_ignoring_case(weight.substr(0, 3), ";q=") && weight.find_first_not_of("0.", 3) == std::string_view::npos;
        return http::equal_ignoring_case(item.substr(0, semicolon), "gzip") && !is_zero;
    });
}

// RFC 9110, 13.1.2: weak comparison.
bool has_already(const http::Request& request, const std::string& etag) {
    const auto items = items_of(request, "if-none-match");
    return std::any_of(items.begin(), items.end(),
                       [&](const std::string& item) { return item == "*" || item == etag || "W/" + item == etag; });
}

}  // namespace

Pages::Pages(const std::string& directory) {
    std::error_code missing;
    for (const auto& entry : std::filesystem::directory_iterator(directory, missing)) {
        if (!entry.is_regular_file(missing)) continue;
        std::ifstream stream(entry.path(), std::ios::binary);
        std::string body{std::istreambuf_iterator<char>(stream), {}};
        std::string name = entry.path().filename().string();
        if (name.ends_with(kGzip)) {
            files_[name.substr(0, name.size() - kGzip.size())].gzip = std::make_shared<const std::string>(std::move(body));
        } else {
            File& file = files_[name];
            file.etag = "W/\"" + crypto::sha256_hex(body).substr(0, 16) + '"';  // weak: plain and gzip share it
            file.body = std::make_shared<const std::string>(std::move(body));
        }
    }
    std::erase_if(files_, [](const auto& file) { return file.second.body == nullptr; });
}

http::Response Pages::answer(const std::string& name, const http::Request& request) const {
    const File& file = files_.at(name);
    http::Response response;
    response.content_type = content_type_of(name);
    response.headers = {{"X-Content-Type-Options", "nosniff"},
                        {"Content-Security-Policy", kContentSecurityPolicy},
                        {"Cache-Control", "no-cache"},  // kept, but asked for anew: answered by 304 while it is the same
                        {"ETag", file.etag},
                        {"Vary", "Accept-Encoding"}};
    if (has_already(request, file.etag)) {
        response.status = 304;
    } else if (file.gzip && takes_gzip(request)) {
        response.headers.emplace_back("Content-Encoding", "gzip");
        response.shared_body = file.gzip;
    } else {
        response.shared_body = file.body;
    }
    return response;
}

}  // namespace messaging::handler
