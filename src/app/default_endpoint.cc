// Compares the URL in PostgreSQL with the setting. The log has only scheme, host and port of a URL.
#include "app/default_endpoint.h"

#include <spdlog/spdlog.h>

#include <utility>

namespace messaging::app {
namespace {

constexpr const char* kNoUrlYet = "http://webhook-url-not-set.invalid/";  // as the migration makes the row

// Scheme, host and port: what follows may hold a secret.
std::string server_of(const std::string& url) {
    const std::size_t scheme = url.find("://");
    return url.substr(0, scheme == std::string::npos ? 0 : url.find_first_of("/?#", scheme + 3));
}

}  // namespace

void DefaultEndpoint::write(core::Completion<core::Unit> done) {
    store_.set_default_endpoint(
        config_.webhook_url, config_.endpoint_max_in_flight, [this, done = std::move(done)](core::Result<std::string> before) {
            if (!before) return done(before.error());
            if (!before->empty() && before.value() != config_.webhook_url && before.value() != kNoUrlYet) {
                spdlog::warn("WEBHOOK_URL has changed: every process sent to {} and sends to {} from now on",
                             server_of(before.value()), server_of(config_.webhook_url));
            }
            done(core::Unit{});
        });
}

void DefaultEndpoint::on_read(const std::string& url) {
    if (url == kNoUrlYet && config_.webhook_url != kNoUrlYet) return write_again();
    if (url.empty() || url == logged_url_) return;
    logged_url_ = url;
    if (url == config_.webhook_url) {
        spdlog::info("WEBHOOK_URL of this process is in force");
    } else {
        spdlog::warn(
            "WEBHOOK_URL of this process is not in force: another process, or SQL, has changed it, and messages go to {}",
            server_of(url));
    }
}

// The database was made anew while this process was running.
void DefaultEndpoint::write_again() {
    if (std::exchange(logged_url_, kNoUrlYet) != kNoUrlYet) {
        spdlog::warn("the endpoint default has no URL, as in a new database: WEBHOOK_URL is written there");
    }
    write([](const core::Result<core::Unit>& written) {
        if (!written) spdlog::warn("WEBHOOK_URL cannot be written: {}", written.error().message);
    });
}

}  // namespace messaging::app
