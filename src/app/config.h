// Config: every setting of the program, read once from flags and environment, checked all at once.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/address_policy.h"
#include "core/backoff.h"
#include "core/secret_text.h"
#include "telemetry/log_format.h"

namespace messaging::app {

// Defaults and units stand in the table of config.cc, which is also what `messaging config` and docs/settings.md show.
struct Config {
    std::string database_url;
    std::string redis_url;  // empty = no Redis, and no receipts
    std::string webhook_url;
    std::string webhook_auth_key;
    std::vector<core::SecretText> secrets_keys;  // the first seals, all open; empty = secrets are stored as they are
    std::string http_addr;
    int port = 0;
    std::string api_token;
    std::vector<std::string> api_hosts;
    bool allow_unauthenticated = false;
    int engines = 0;
    int max_in_flight = 0;
    int endpoint_max_in_flight = 0;
    std::chrono::milliseconds request_timeout{0};
    std::chrono::milliseconds connect_timeout{0};
    std::string ca_certificates;
    core::AddressPolicy address_policy;  // of ALLOWED_NETWORKS
    bool http2 = false;
    core::BackoffPolicy backoff;
    int breaker_failures = 0;
    std::chrono::milliseconds disable_after{0};
    std::chrono::milliseconds shutdown_timeout{0};
    std::size_t max_content_bytes = 0;
    std::int64_t receipt_stream_max = 0;
    std::chrono::seconds receipt_ttl{0};
    std::string log_level;
    telemetry::LogFormat log_format = telemetry::LogFormat::kText;
    std::string migrations_dir;
    std::string docs_dir;
};

// What `messaging config` shows of a value.
enum class Shown { kWhole, kUrlWithoutSecrets, kNothing };

// One row of the table: a setting as people meet it.
struct Setting {
    const char* name;           // of the environment variable, and, as --lower-case, of the flag
    const char* default_value;  // as it would be written
    const char* meaning;
    Shown shown;
    // Reads `text` into the config; answers what is wrong with it, or an empty string.
    std::function<std::string(const std::string& text, Config& config)> read;
};

const std::vector<Setting>& settings();
// True where an empty environment variable is not the same as none: REDIS_URL= means "no Redis", not the default.
bool empty_means_something(const std::string& name);

struct ConfigResult {
    Config config;
    std::vector<std::string> errors;  // one sentence each, naming the setting; values of secrets are never in them
};

// `lookup` answers a variable's value, or nullptr. A setting NAME may come from the file that NAME_FILE names (its last line
// break is dropped); both set is an error. `serving` adds the checks that matter to `serve` only.
ConfigResult read_config(const std::function<const char*(const std::string&)>& lookup, bool serving);

// What `messaging config` prints: each setting, its value (passwords, keys and the values of URLs' queries hidden), and the retry
// schedule.
std::string describe_config(const std::function<const char*(const std::string&)>& lookup);
// The table of docs/settings.md.
std::string config_markdown();
// One sentence without its full stop: attempts, waits, jitter, and the longest time in all.
std::string describe_retries(const core::BackoffPolicy& policy);

}  // namespace messaging::app
