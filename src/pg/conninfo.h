// Conninfo: a DATABASE_URL taken apart, its host names looked up outside libpq, and put together for PQconnectStartParams.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/result.h"
#include "pg/connection.h"

namespace messaging::pg {

struct HostEntry {
    std::string host;      // name, address, or socket directory; empty = libpq's default
    std::string hostaddr;  // numeric; empty for a socket
    std::string port;      // empty = default
    // A name that libpq would look up by itself, blocking the loop.
    bool needs_lookup() const;
};

struct Conninfo {
    std::vector<std::pair<std::string, std::string>> parameters;  // without host, hostaddr and port
    std::vector<HostEntry> hosts;
};

// kInvalid with libpq's words, without what it quotes: that may be a part of the password.
core::Result<Conninfo> parse_conninfo(const std::string& url);

// Parameters as libpq takes them (host=a dbname=b) with passwords as ***. Precondition: parse_conninfo() takes them.
std::string without_secrets(const std::string& parameters);

// Keywords and values for PQconnectStartParams: keepalive and application-name defaults of ours fill what the URL leaves
// open; options.settings go into the start-up packet.
std::vector<std::pair<std::string, std::string>> connect_parameters(const Conninfo& info, const std::vector<HostEntry>& resolved,
                                                                    const ConnectionOptions& options);

}  // namespace messaging::pg
