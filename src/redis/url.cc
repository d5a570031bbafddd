// REDIS_URL taken apart.
#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

#include "redis/client.h"

namespace messaging::redis {
namespace {

core::Error wrong(std::string message) { return {core::ErrorKind::kInvalid, std::move(message), ""}; }

bool read_number(std::string_view text, int low, int high, int& value) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc() && end == text.data() + text.size() && value >= low && value <= high;
}

bool read_database(std::string_view text, Target& target) { return read_number(text, 0, 1'000'000, target.database); }

std::optional<std::string> percent_decoded(std::string_view text) {
    std::string decoded;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            decoded.push_back(text[i]);
            continue;
        }
        unsigned char byte = 0;
        if (i + 2 >= text.size()) return std::nullopt;
        const auto [end, error] = std::from_chars(text.data() + i + 1, text.data() + i + 3, byte, 16);
        if (error != std::errc() || end != text.data() + i + 3) return std::nullopt;
        decoded.push_back(static_cast<char>(byte));
        i += 2;
    }
    return decoded;
}

constexpr const char* kDatabase = "must have a database number, such as 0";
constexpr const char* kForm = "must be redis://[user:password@]host[:port][/database] or unix:///path/to/socket";

}  // namespace

core::Result<Target> parse_url(const std::string& url) {
    Target target;
    std::string_view rest = url;
    if (rest.starts_with("unix://")) {
        rest.remove_prefix(7);
        const auto question = rest.find("?db=");
        if (question != std::string_view::npos && !read_database(rest.substr(question + 4), target)) return wrong(kDatabase);
        target.socket = rest.substr(0, question);
        if (target.socket.find('?') != std::string::npos)
            return wrong("has an unknown parameter: after the path only ?db= is known");
        if (target.socket.empty() || target.socket.front() != '/') return wrong(kForm);
        return target;
    }
    if (rest.starts_with("rediss://")) {
        return wrong(
            "must begin with redis://, because TLS to Redis (rediss://) is not supported: use a private network or a tunnel");
    }
    if (!rest.starts_with("redis://")) return wrong(kForm);
    rest.remove_prefix(8);
    if (const auto slash = rest.find('/'); slash != std::string_view::npos) {
        const std::string_view database = rest.substr(slash + 1);
        if (!database.empty() && !read_database(database, target)) return wrong(kDatabase);
        rest = rest.substr(0, slash);
    }
    if (const auto at = rest.rfind('@'); at != std::string_view::npos) {
        const std::string_view user = rest.substr(0, at);
        const auto colon = user.find(':');
        if (colon == std::string_view::npos) return wrong(kForm);
        auto username = percent_decoded(user.substr(0, colon));
        auto password = percent_decoded(user.substr(colon + 1));
        if (!username || !password) return wrong("must have % in the user or password as %25");
        target.username = std::move(*username);
        target.password = std::move(*password);
        rest = rest.substr(at + 1);
    }
    // [::1]:6379, host:6379, host
    const auto bracket = rest.starts_with('[') ? rest.find(']') : std::string_view::npos;
    const auto colon = rest.find(':', bracket == std::string_view::npos ? 0 : bracket);
    if (colon != std::string_view::npos && !read_number(rest.substr(colon + 1), 1, 65535, target.port)) {
        return wrong("must have a port from 1 to 65535");
    }
    rest = rest.substr(0, colon);
    if (bracket != std::string_view::npos) rest = rest.substr(1, bracket - 1);
    target.host = rest;
    if (target.host.find(',') != std::string::npos) return wrong("must name one host: several are not supported");
    if (target.host.find('?') != std::string::npos)
        return wrong("must have no parameters: the database stands behind a slash, as in redis://host/3");
    if (target.host.empty() || target.host.find_first_of(" \t#") != std::string::npos) return wrong(kForm);
    return target;
}

}  // namespace messaging::redis
