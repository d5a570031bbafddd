// The name, settings and limits of each session.
#include "app/sessions.h"

#include "repository/session_settings.h"

namespace messaging::app {
namespace {

constexpr std::chrono::milliseconds kReplanPeriod{5000};  // of the sessions with generic plans
// Of the requests of the API that wait for their answers from PostgreSQL; beyond, 503.
constexpr std::size_t kMaxWaitingRequests = 4096;
constexpr std::size_t kMaxWaitingBytes = 32u << 20;

}  // namespace

pg::ConnectionOptions session_options(const Config& config, SessionRole role, const std::string& tag) {
    pg::ConnectionOptions options;
    options.url = config.database_url;
    switch (role) {
        case SessionRole::kClaim:
            options.application_name = "messaging claim";
            options.settings = repository::claim_session_settings();
            break;
        case SessionRole::kRecord:
            options.application_name = "messaging record";
            options.settings = repository::record_session_settings();
            break;
        case SessionRole::kListen:
            options.application_name = "messaging listen";
            options.settings = repository::listen_session_settings();
            // An engine that gets no answer from PostgreSQL stops starting requests, well before others consider it failed.
            options.reply_timeout = std::chrono::seconds(5);
            break;
        case SessionRole::kApi:
        case SessionRole::kApiWrite:
        case SessionRole::kControl:
            options.application_name = role == SessionRole::kApi        ? "messaging api"
                                       : role == SessionRole::kApiWrite ? "messaging api write"
                                                                        : "messaging control";
            options.settings = repository::api_session_settings();
            if (role != SessionRole::kControl) {
                options.max_waiting_units = kMaxWaitingRequests;
                options.max_waiting_bytes = kMaxWaitingBytes;
            }
            break;
        case SessionRole::kReconcile:
            options.application_name = "messaging reconcile";
            options.settings = repository::reconcile_session_settings();
            options.reply_timeout = std::chrono::seconds(35);
            break;
    }
    if (role != SessionRole::kListen && role != SessionRole::kReconcile) options.replan_period = kReplanPeriod;
    if (!tag.empty()) options.application_name += " " + tag;
    return options;
}

redis::ClientOptions redis_options(const Config& config) {
    redis::ClientOptions options;
    // Checked when the configuration was read; without one the client is never started.
    if (!config.redis_url.empty()) options.target = redis::parse_url(config.redis_url).value();
    return options;
}

}  // namespace messaging::app
