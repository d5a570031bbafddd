// The table of all settings, and the reader of each.
#include "app/config.h"

#include <arpa/inet.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <iterator>
#include <optional>
#include <sstream>
#include <string_view>
#include <utility>

#include "app/config_values.h"
#include "crypto/base64.h"
#include "crypto/sealer.h"
#include "http/text.h"
#include "http_client/url.h"
#include "pg/conninfo.h"
#include "redis/client.h"

namespace messaging::app {
namespace {

constexpr std::string_view kDatabaseUrl = "DATABASE_URL";

using Reader = std::function<std::string(const std::string&, Config&)>;

template <typename T>
Reader integer(T Config::*field, std::int64_t low, std::int64_t high) {
    return [=](const std::string& text, Config& config) -> std::string {
        const auto value = parse_integer(text, low, high);
        if (!value) return value.error().message;
        config.*field = static_cast<T>(value.value());
        return "";
    };
}

template <typename T>
std::string store_duration(const std::string& text, std::chrono::milliseconds low, T& field) {
    const auto value = parse_duration(text);
    if (!value) return value.error().message;
    if (value.value() < low) return "must be at least " + format_duration(low);
    field = std::chrono::duration_cast<T>(value.value());
    return "";
}

template <typename T>
Reader duration(T Config::*field, std::chrono::milliseconds low) {
    return [=](const std::string& text, Config& config) { return store_duration(text, low, config.*field); };
}

Reader backoff_duration(std::chrono::milliseconds core::BackoffPolicy::*field) {
    return [=](const std::string& text, Config& config) {
        return store_duration(text, std::chrono::milliseconds(1), config.backoff.*field);
    };
}

Reader bool_reader(bool Config::*field) {
    return [=](const std::string& value, Config& config) -> std::string {
        const auto parsed = parse_bool(value);
        if (!parsed) return parsed.error().message;
        config.*field = parsed.value();
        return "";
    };
}

std::string read_database_url(const std::string& value, Config& config) {
    config.database_url = value;
    if (value.empty()) return "is required: postgres://user:password@host:5432/database";
    const auto parsed = pg::parse_conninfo(value);
    if (!parsed) return "must be postgres://user:password@host:5432/database; libpq says: " + parsed.error().message;
    const bool ports_are_right = std::all_of(parsed->hosts.begin(), parsed->hosts.end(), [](const pg::HostEntry& entry) {
        return entry.port.empty() || parse_integer(entry.port, 1, 65535).ok();
    });
    return ports_are_right ? "" : "must have a port from 1 to 65535, as in postgres://user:password@host:5432/database";
}

std::string read_redis_url(const std::string& value, Config& config) {
    if (value.empty()) {
        config.redis_url.clear();
        return "";
    }
    const auto target = redis::parse_url(value);
    config.redis_url = value;
    return target ? "" : target.error().message;
}

std::string read_webhook_url(const std::string& value, Config& config) {
    config.webhook_url = value;
    if (value.empty()) return "";
    const auto checked = http_client::check_url(value);
    return checked ? "" : checked.error().message;
}

std::string read_auth_key(const std::string& value, Config& config) {
    config.webhook_auth_key = value;
    return value.find_first_of("\r\n") == std::string::npos ? "" : "must not contain a line break: it is sent as a header";
}

std::string read_secrets_key(const std::string& value, Config& config) {
    config.secrets_keys.clear();
    for (std::size_t begin = 0; begin <= value.size() && !value.empty();) {
        const std::size_t end = std::min(value.find(',', begin), value.size());
        const std::string_view key = http::trimmed(std::string_view(value).substr(begin, end - begin));
        auto bytes = crypto::base64_decoded(key);
        if (!bytes || bytes->view().size() != crypto::kSealingKeyBytes) {
            config.secrets_keys.clear();
            return "must be the base64 of 32 random bytes, as `openssl rand -base64 32` writes it, or several of them, "
                   "separated by commas";
        }
        config.secrets_keys.push_back(std::move(*bytes));
        begin = end + 1;
    }
    return "";
}

// Blanks around a header's value are no part of it (RFC 9110, 5.5), so no client could send such a token.
std::string read_api_token(const std::string& value, Config& config) {
    config.api_token = value;
    const auto is_blank = [](char c) { return c == ' ' || c == '\t'; };
    const auto is_control = [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; };
    if (value.empty()) return "";
    if (!is_blank(value.front()) && !is_blank(value.back()) && std::none_of(value.begin(), value.end(), is_control)) return "";
    return "must not begin or end with a blank, nor hold a control character: no client could send it as a header";
}

std::string read_api_hosts(const std::string& value, Config& config) {
    config.api_hosts.clear();
    std::istringstream names(value);
    for (std::string name; std::getline(names, name, ',');) {
        name.erase(std::remove(name.begin(), name.end(), ' '), name.end());
        if (name.empty() || name.find_first_of(":/*") != std::string::npos) {
            return "must be names without scheme and port, such as messaging.example.com,messaging";
        }
        config.api_hosts.push_back(name);
    }
    return "";
}

std::string read_ca_certificates(const std::string& value, Config& config) {
    config.ca_certificates = value;
    const bool readable = std::ifstream(value).peek() != std::ifstream::traits_type::eof();
    return value.empty() || readable ? "" : "names a file that cannot be read, or is empty: " + value;
}

std::string read_allowed_networks(const std::string& value, Config& config) {
    auto networks = core::parse_networks(value);
    if (!networks) return networks.error().message;
    config.address_policy = core::AddressPolicy(std::move(networks.value()));
    return "";
}

std::string read_backoff_factor(const std::string& value, Config& config) {
    const auto parsed = parse_number(value, 1.0, 10.0);
    if (!parsed) return parsed.error().message;
    config.backoff.factor = parsed.value();
    return "";
}

std::string read_max_attempts(const std::string& value, Config& config) {
    const auto parsed = parse_integer(value, 1, 1000);
    if (!parsed) return parsed.error().message;
    config.backoff.max_attempts = static_cast<int>(parsed.value());
    return "";
}

std::string read_log_level(const std::string& value, Config& config) {
    for (const char* level : {"debug", "info", "warn", "error"}) {
        if (value == level) {
            config.log_level = value;
            return "";
        }
    }
    return "must be debug, info, warn or error";
}

std::string read_log_format(const std::string& value, Config& config) {
    if (value != "text" && value != "json") return "must be text or json";
    config.log_format = value == "json" ? telemetry::LogFormat::kJson : telemetry::LogFormat::kText;
    return "";
}

bool is_loopback(const std::string& address) {
    in_addr ipv4{};
    if (inet_pton(AF_INET, address.c_str(), &ipv4) == 1) return (ntohl(ipv4.s_addr) >> 24) == 127;
    return address == "::1" || address == "localhost";
}

std::string read_http_addr(const std::string& value, Config& config) {
    const bool bracketed = value.starts_with('[') && value.ends_with(']');
    config.http_addr = bracketed ? value.substr(1, value.size() - 2) : value;
    in6_addr ignored{};
    const char* const text = config.http_addr.c_str();
    if (config.http_addr == "localhost") return "";
    if (inet_pton(AF_INET, text, &ignored) == 1 || inet_pton(AF_INET6, text, &ignored) == 1) return "";
    return "must be an address of this machine, such as 127.0.0.1, ::1 or 0.0.0.0";
}

std::string read_directory(const std::string& value, std::string& field) {
    field = value;
    return value.empty() || std::filesystem::is_directory(value) ? "" : "names a folder that is not there: " + value;
}

using Lookup = std::function<const char*(const std::string&)>;

// The value of a setting before it is read: NAME, the contents of NAME_FILE, or the default.
core::Result<std::string> raw_value(const Setting& setting, const Lookup& lookup) {
    const char* const direct = lookup(setting.name);
    const char* const file = lookup(std::string(setting.name) + "_FILE");
    if (direct != nullptr && file != nullptr) {
        return core::Error{core::ErrorKind::kInvalid, std::string("and ") + setting.name + "_FILE are both set: keep one"};
    }
    if (direct != nullptr) return std::string(direct);
    if (file == nullptr) return std::string(setting.default_value);
    const auto wrong = [&](const char* why) {
        return core::Error{core::ErrorKind::kInvalid, std::string("cannot be read from the file ") + file + why};
    };
    if (std::error_code error; std::filesystem::is_directory(file, error)) return wrong(": it is a folder");
    std::ifstream stream(file);
    if (!stream) return wrong("");
    std::string value{std::istreambuf_iterator<char>(stream), {}};
    if (value.ends_with('\n')) value.pop_back();
    if (value.ends_with('\r')) value.pop_back();
    if (value.find_first_of(std::string_view("\n\0", 2)) != std::string::npos) return wrong(": it must hold one line");
    return value;
}

// A URL that cannot be read is hidden whole: nobody knows where in it the password is.
std::string shown_value(const Setting& setting, const std::string& value) {
    if (value.empty() || setting.shown == Shown::kWhole) return value;
    Config ignored;
    if (setting.shown == Shown::kNothing || !setting.read(value, ignored).empty()) return "(set, hidden)";
    const bool is_url = value.starts_with("postgres://") || value.starts_with("postgresql://") || setting.name != kDatabaseUrl;
    return is_url ? without_secrets(value) : pg::without_secrets(value);
}

void check_serving(const Config& config, std::vector<std::string>& errors) {
    if (config.webhook_url.empty()) {
        errors.emplace_back("WEBHOOK_URL is required: the address that messages are sent to, such as https://example.com/hook");
    }
    if (!is_loopback(config.http_addr) && config.api_token.empty() && !config.allow_unauthenticated) {
        errors.push_back("HTTP_ADDR " + config.http_addr +
                         " can be reached from other machines: set API_TOKEN, or ALLOW_UNAUTHENTICATED=true if that is meant");
    }
    if (config.connect_timeout > config.request_timeout) {
        errors.emplace_back("CONNECT_TIMEOUT must not be longer than REQUEST_TIMEOUT");
    }
    if (config.backoff.base > config.backoff.cap) errors.emplace_back("BACKOFF_BASE must not be longer than BACKOFF_CAP");
}

}  // namespace

bool empty_means_something(const std::string& name) { return name == "REDIS_URL"; }

const std::vector<Setting>& settings() {
    using std::chrono::milliseconds;
    static const std::vector<Setting> table = {
        {"DATABASE_URL", "", "PostgreSQL, as libpq takes it; several hosts are tried in turn. Required",
         Shown::kUrlWithoutSecrets, read_database_url},
        {"REDIS_URL", "redis://127.0.0.1:6379/0", "Redis for receipts; it may be down. Empty = no Redis, no receipts",
         Shown::kUrlWithoutSecrets, read_redis_url},
        {"WEBHOOK_URL", "", "where messages are sent. Required by serve", Shown::kUrlWithoutSecrets, read_webhook_url},
        {"WEBHOOK_AUTH_KEY", "", "sent to WEBHOOK_URL as x-ins-auth-key", Shown::kNothing, read_auth_key},
        {"SECRETS_KEY", "",
         "seals the endpoints' secrets in PostgreSQL (AES-256-GCM): base64 of 32 bytes. Several keys are separated by "
         "commas: the first one seals, and all of them open",
         Shown::kNothing, read_secrets_key},
        {"HTTP_ADDR", "127.0.0.1", "address the API listens on", Shown::kWhole, read_http_addr},
        {"PORT", "8080", "port the API listens on; 0 = any free one", Shown::kWhole, integer(&Config::port, 0, 65535)},
        {"API_TOKEN", "",
         "when set, requests to the API need the header Authorization: Bearer TOKEN; health checks, / and /docs do not",
         Shown::kNothing, read_api_token},
        {"API_HOSTS", "",
         "host names, separated by commas, under which clients call the API; IP addresses and localhost are always allowed",
         Shown::kWhole, read_api_hosts},
        {"ALLOW_UNAUTHENTICATED", "false", "allow a public HTTP_ADDR without API_TOKEN", Shown::kWhole,
         bool_reader(&Config::allow_unauthenticated)},
        {"ENGINES", "1", "claiming-and-sending loops, a thread each", Shown::kWhole, integer(&Config::engines, 1, 64)},
        {"MAX_IN_FLIGHT", "512", "requests in flight of one engine, all endpoints", Shown::kWhole,
         integer(&Config::max_in_flight, 1, 20000)},
        {"ENDPOINT_MAX_IN_FLIGHT", "64", "requests in flight to WEBHOOK_URL, of one engine", Shown::kWhole,
         integer(&Config::endpoint_max_in_flight, 1, 10000)},
        {"REQUEST_TIMEOUT", "10s", "one request, connecting included", Shown::kWhole,
         duration(&Config::request_timeout, milliseconds(1))},
        {"CONNECT_TIMEOUT", "5s", "connecting to a receiver", Shown::kWhole, duration(&Config::connect_timeout, milliseconds(1))},
        {"ALLOWED_NETWORKS", "",
         "networks, separated by commas, that endpoints may be in besides public addresses: 10.0.0.0/8,fd00::/8. WEBHOOK_URL "
         "may be anywhere",
         Shown::kWhole, read_allowed_networks},
        {"CA_CERTIFICATES", "", "PEM file of authorities that receivers' certificates may be signed by, besides the system's",
         Shown::kWhole, read_ca_certificates},
        {"HTTP2", "false", "speak HTTP/2 to receivers that offer it over TLS", Shown::kWhole, bool_reader(&Config::http2)},
        {"MAX_ATTEMPTS", "16", "failed attempts after which a message is dead-lettered", Shown::kWhole, read_max_attempts},
        {"BACKOFF_BASE", "2s",
         "longest wait after the first failed attempt, and base of the waits after failures of engines; each wait after an "
         "attempt is shortened at random by up to half",
         Shown::kWhole, backoff_duration(&core::BackoffPolicy::base)},
        {"BACKOFF_FACTOR", "2", "each further wait is this many times the one before", Shown::kWhole, read_backoff_factor},
        {"BACKOFF_CAP", "6h", "the longest wait between attempts, unless Retry-After asks for more (24 h at most)", Shown::kWhole,
         backoff_duration(&core::BackoffPolicy::cap)},
        {"BREAKER_FAILURES", "10",
         "failed attempts in a row, over 5 s at least, after which an endpoint is failing: each engine tries one message at a "
         "time; 0 = never",
         Shown::kWhole, integer(&Config::breaker_failures, 0, 1'000'000)},
        {"DISABLE_AFTER", "120h", "an endpoint that has been failing for so long is disabled when the next try fails; 0 = never",
         Shown::kWhole, duration(&Config::disable_after, milliseconds(0))},
        {"SHUTDOWN_TIMEOUT", "15s", "how long requests in flight may take after SIGTERM", Shown::kWhole,
         duration(&Config::shutdown_timeout, milliseconds(0))},
        {"MAX_CONTENT_BYTES", "4096", "longest content of a message; migrate up sets the same limit in PostgreSQL", Shown::kWhole,
         integer(&Config::max_content_bytes, 1, 1 << 20)},
        {"RECEIPT_STREAM_MAX", "100000", "about how many receipts the Redis stream messages:sent keeps", Shown::kWhole,
         integer(&Config::receipt_stream_max, 1, 1'000'000'000)},
        {"RECEIPT_TTL", "24h", "life of the Redis keys message:<id>", Shown::kWhole,
         duration(&Config::receipt_ttl, milliseconds(1000))},
        {"LOG_LEVEL", "info", "debug, info, warn or error", Shown::kWhole, read_log_level},
        {"LOG_FORMAT", "text", "text or json", Shown::kWhole, read_log_format},
        {"MIGRATIONS_DIR", "", "folder of the migrations; empty = the one installed with the program", Shown::kWhole,
         [](const std::string& value, Config& config) { return read_directory(value, config.migrations_dir); }},
        {"DOCS_DIR", "", "folder of the Swagger pages; empty = the one installed with the program", Shown::kWhole,
         [](const std::string& value, Config& config) { return read_directory(value, config.docs_dir); }},
    };
    return table;
}

ConfigResult read_config(const Lookup& lookup, bool serving) {
    ConfigResult result;
    for (const Setting& setting : settings()) {
        // What cannot be read stays at its default, so that the checks of several settings together find no fault of its own.
        setting.read(setting.default_value, result.config);
        const auto value = raw_value(setting, lookup);
        const std::string wrong = value ? setting.read(value.value(), result.config) : value.error().message;
        if (!wrong.empty()) result.errors.push_back(std::string(setting.name) + " " + wrong);
    }
    // The default of the one must not contradict the other's value.
    if (lookup("CONNECT_TIMEOUT") == nullptr && lookup("CONNECT_TIMEOUT_FILE") == nullptr) {
        result.config.connect_timeout = std::min(result.config.connect_timeout, result.config.request_timeout);
    }
    if (serving) check_serving(result.config, result.errors);
    return result;
}

std::string describe_retries(const core::BackoffPolicy& policy) {
    const auto waits = core::retry_schedule(policy);
    if (waits.empty()) return "none; a message whose only attempt fails is dead-lettered";
    std::string line;
    std::chrono::milliseconds all{0};
    for (const auto wait : waits) {
        line += (line.empty() ? "" : ", ") + format_duration(wait);
        all += wait;
    }
    std::ostringstream total;
    total << std::fixed << std::setprecision(1) << std::chrono::duration<double, std::ratio<3600>>(all).count() << " h";
    return "up to " + std::to_string(policy.max_attempts) + " attempts with waits of " + line +
           ", each shortened at random by up to half, " + total.str() +
           " in all at most (Retry-After can add to it); then the message is dead-lettered";
}

std::string describe_config(const Lookup& lookup) {
    std::ostringstream out;
    for (const Setting& setting : settings()) {
        const auto value = raw_value(setting, lookup);
        out << setting.name << '=' << (value ? shown_value(setting, value.value()) : "(unreadable)") << '\n';
    }
    const ConfigResult result = read_config(lookup, false);
    out << "\nRetries: " << describe_retries(result.config.backoff) << ".\n";
    for (const std::string& error : result.errors) out << "error: " << error << '\n';
    return out.str();
}

std::string config_markdown() {
    std::ostringstream out;
    out << "| setting | default | meaning |\n|---|---|---|\n";
    for (const Setting& setting : settings()) {
        const std::string shown = *setting.default_value == '\0' ? "" : "`" + std::string(setting.default_value) + "`";
        out << "| `" << setting.name << "` | " << shown << " | " << setting.meaning << " |\n";
    }
    return out.str();
}

}  // namespace messaging::app
