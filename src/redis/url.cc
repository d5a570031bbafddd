// REDIS_URL taken apart.
#include <string_view>
#include <utility>

#include "core/number.h"
#include "core/percent.h"
#include "redis/client.h"

namespace messaging::redis {
namespace {

core::Error wrong(std::string message) { return {core::ErrorKind::kInvalid, std::move(message)}; }

bool read_number(std::string_view text, int low, int high, int& value) {
    const auto number = core::parse_number<int>(text);
    value = number.value_or(0);
    return number && value >= low && value <= high;
}

bool read_database(std::string_view text, Target& target) { return read_number(text, 0, 1'000'000, target.database); }

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
        auto username = core::percent_decoded_strictly(user.substr(0, colon));
        auto password = core::percent_decoded_strictly(user.substr(colon + 1));
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
