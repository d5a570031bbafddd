// REDIS_URL taken apart.
#include <sys/un.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "core/ip_address.h"
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

constexpr int kMaxDatabase = 1'000'000;

bool read_database(std::string_view text, Target& target) { return read_number(text, 0, kMaxDatabase, target.database); }

constexpr const char* kForm = "must be redis://[user:password@]host[:port][/database] or unix:///path/to/socket";
constexpr const char* kPort = "must have a port from 1 to 65535";

core::Error wrong_database() {
    return wrong("must have a database number, such as 0, and not more than " + std::to_string(kMaxDatabase));
}

core::Result<Target> read_socket(std::string_view path) {
    Target target;
    const auto question = path.find("?db=");
    if (question != std::string_view::npos && !read_database(path.substr(question + 4), target)) return wrong_database();
    target.socket = path.substr(0, question);
    if (target.socket.find('?') != std::string::npos) return wrong("has an unknown parameter: after the path only ?db= is known");
    if (target.socket.empty() || target.socket.front() != '/') return wrong(kForm);
    // hiredis connects to the beginning of a path that is longer.
    constexpr std::size_t kMaxPath = sizeof(sockaddr_un::sun_path) - 1;
    if (target.socket.size() > kMaxPath)
        return wrong("must have a path of at most " + std::to_string(kMaxPath) +
                     " bytes: the kernel allows no more for a socket");
    return target;
}

core::Result<core::Unit> read_user(std::string_view user, Target& target) {
    const auto colon = user.find(':');
    if (colon == std::string_view::npos) return wrong(kForm);
    if (colon + 1 == user.size())
        return wrong("must have a password behind the colon: redis://user:password@host, redis://:password@host or redis://host");
    auto username = core::percent_decoded_strictly(user.substr(0, colon));
    auto password = core::percent_decoded_strictly(user.substr(colon + 1));
    if (!username || !password) return wrong("must have % in the user or password as %25");
    target.username = std::move(*username);
    target.password = std::move(*password);
    return core::Unit{};
}

bool is_host_character(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

core::Result<core::Unit> check_name(std::string_view host) {
    if (host.find(',') != std::string_view::npos) return wrong("must name one host: several are not supported");
    if (host.find('?') != std::string_view::npos)
        return wrong("must have no parameters: the database stands behind a slash, as in redis://host/3");
    if (host.empty() || host.find_first_of(" \t#") != std::string_view::npos) return wrong(kForm);
    if (!std::all_of(host.begin(), host.end(), is_host_character))
        return wrong("must have a host of letters, digits, dots and hyphens, or an address: an IPv6 address stands in brackets");
    return core::Unit{};
}

// [::1]:6379, host:6379, host
core::Result<core::Unit> read_host(std::string_view text, Target& target) {
    std::string_view behind;
    if (text.starts_with('[')) {
        const auto bracket = text.find(']');
        if (bracket == std::string_view::npos) return wrong("must have a ] behind the IPv6 address, as in redis://[::1]:6379");
        target.host = text.substr(1, bracket - 1);
        const auto address = core::IpAddress::parse(target.host);
        if (!address || target.host.find(':') == std::string::npos)
            return wrong("must have an IPv6 address in the brackets, without a zone, as in redis://[::1]:6379");
        behind = text.substr(bracket + 1);
        if (!behind.empty() && behind.front() != ':')
            return wrong("must have nothing but a port behind the brackets, as in redis://[::1]:6379");
    } else {
        const auto colon = std::min(text.find(':'), text.size());
        target.host = text.substr(0, colon);
        behind = text.substr(colon);
        if (behind.find(':', 1) != std::string_view::npos && core::IpAddress::parse(text))
            return wrong("must have an IPv6 address in brackets, as in redis://[::1]:6379");
    }
    if (!behind.empty() && !read_number(behind.substr(1), 1, 65535, target.port)) return wrong(kPort);
    return text.starts_with('[') ? core::Unit{} : check_name(target.host);
}

}  // namespace

core::Result<Target> parse_url(const std::string& url) {
    Target target;
    std::string_view rest = url;
    if (rest.starts_with("unix://")) return read_socket(rest.substr(7));
    if (rest.starts_with("rediss://")) {
        return wrong(
            "must begin with redis://, because TLS to Redis (rediss://) is not supported: use a private network or a tunnel");
    }
    if (!rest.starts_with("redis://")) return wrong(kForm);
    rest.remove_prefix(8);
    if (const auto slash = rest.find('/'); slash != std::string_view::npos) {
        const std::string_view database = rest.substr(slash + 1);
        if (database.find('@') != std::string_view::npos) return wrong("must have / in the user or password as %2F");
        if (!database.empty() && !read_database(database, target)) return wrong_database();
        rest = rest.substr(0, slash);
    }
    if (const auto at = rest.rfind('@'); at != std::string_view::npos) {
        const auto user = read_user(rest.substr(0, at), target);
        if (!user) return user.error();
        rest = rest.substr(at + 1);
    }
    const auto host = read_host(rest, target);
    if (!host) return host.error();
    return target;
}

}  // namespace messaging::redis
