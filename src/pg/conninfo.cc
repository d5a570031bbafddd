// Taking apart and putting together of connection parameters.
#include "pg/conninfo.h"

#include <libpq-fe.h>

#include <algorithm>
#include <memory>
#include <string_view>

namespace messaging::pg {
namespace {

struct ConninfoDeleter {
    void operator()(PQconninfoOption* options) const { PQconninfoFree(options); }
};

std::vector<std::string> split(const std::string& list) {
    std::vector<std::string> parts;
    std::size_t begin = 0;
    for (std::size_t comma = list.find(','); comma != std::string::npos; comma = list.find(',', begin)) {
        parts.push_back(list.substr(begin, comma - begin));
        begin = comma + 1;
    }
    parts.push_back(list.substr(begin));
    return parts;
}

// One port for all, or one each, as libpq has it.
std::string element(const std::vector<std::string>& parts, std::size_t index) {
    if (parts.size() == 1) return parts[0];
    return index < parts.size() ? parts[index] : "";
}

std::string escaped(const std::string& value) {
    std::string text;
    for (const char c : value) {
        if (c == ' ' || c == '\\') text.push_back('\\');
        text.push_back(c);
    }
    return text;
}

// From the first quotation mark to the last: a password may contain one itself.
std::string without_quotation(std::string words) {
    while (!words.empty() && words.back() == '\n') words.pop_back();
    const auto first = words.find('"');
    if (first != std::string::npos) words.replace(first, words.rfind('"') - first + 1, "(not shown)");
    return words;
}

// A dead peer is noticed within about 11 s when idle, and within 10 s when something was sent to it.
constexpr std::pair<const char*, const char*> kDefaults[] = {{"keepalives_idle", "5"},
                                                             {"keepalives_interval", "2"},
                                                             {"keepalives_count", "3"},
                                                             {"tcp_user_timeout", "10000"},
                                                             {"client_encoding", "UTF8"}};

}  // namespace

bool HostEntry::needs_lookup() const { return hostaddr.empty() && !host.empty() && host.front() != '/' && host.front() != '@'; }

core::Result<Conninfo> parse_conninfo(const std::string& url) {
    char* message = nullptr;
    const std::unique_ptr<PQconninfoOption, ConninfoDeleter> options(PQconninfoParse(url.c_str(), &message));
    if (!options) {
        const std::string words = message == nullptr ? "out of memory" : without_quotation(message);
        PQfreemem(message);
        return core::Error{core::ErrorKind::kInvalid, words};
    }
    Conninfo info;
    std::string host;
    std::string hostaddr;
    std::string port;
    for (const PQconninfoOption* option = options.get(); option->keyword != nullptr; ++option) {
        if (option->val == nullptr) continue;
        const std::string_view keyword = option->keyword;
        if (keyword == "host") {
            host = option->val;
        } else if (keyword == "hostaddr") {
            hostaddr = option->val;
        } else if (keyword == "port") {
            port = option->val;
        } else {
            info.parameters.emplace_back(option->keyword, option->val);
        }
    }
    const auto hosts = split(host);
    const auto addresses = split(hostaddr);
    const auto ports = split(port);
    for (std::size_t i = 0; i < std::max(hosts.size(), addresses.size()); ++i) {
        info.hosts.push_back({i < hosts.size() ? hosts[i] : "", i < addresses.size() ? addresses[i] : "", element(ports, i)});
    }
    return info;
}

std::string without_secrets(const std::string& parameters) {
    const std::unique_ptr<PQconninfoOption, ConninfoDeleter> options(PQconninfoParse(parameters.c_str(), nullptr));
    std::string shown;
    for (const PQconninfoOption* option = options.get(); option != nullptr && option->keyword != nullptr; ++option) {
        if (option->val == nullptr) continue;
        const bool is_secret =
            option->dispchar[0] == '*' || std::string_view(option->keyword).find("password") != std::string_view::npos;
        shown.append(shown.empty() ? "" : " ").append(option->keyword).append("=").append(is_secret ? "***" : option->val);
    }
    return shown;
}

std::vector<std::pair<std::string, std::string>> connect_parameters(const Conninfo& info, const std::vector<HostEntry>& resolved,
                                                                    const ConnectionOptions& options) {
    auto parameters = info.parameters;
    const auto has = [&](std::string_view keyword) {
        return std::any_of(parameters.begin(), parameters.end(), [&](const auto& p) { return p.first == keyword; });
    };
    for (const auto& [keyword, value] : kDefaults) {
        if (!has(keyword)) parameters.emplace_back(keyword, value);
    }
    if (!has("application_name")) parameters.emplace_back("application_name", options.application_name);
    std::string settings;
    for (const auto& [name, value] : options.settings) settings += " -c " + name + "=" + escaped(value);
    if (!has("options")) parameters.emplace_back("options", "");
    for (auto& [keyword, value] : parameters) {
        if (keyword == "options") value += settings;
    }
    std::string hosts;
    std::string addresses;
    std::string ports;
    for (const HostEntry& entry : resolved) {
        const char* const comma = &entry == resolved.data() ? "" : ",";
        hosts += comma + entry.host;
        addresses += comma + entry.hostaddr;
        ports += comma + entry.port;
    }
    parameters.emplace_back("host", hosts);
    parameters.emplace_back("hostaddr", addresses);
    parameters.emplace_back("port", ports);
    return parameters;
}

}  // namespace messaging::pg
