// Connects the handlers of the API with its stores, its metrics and its log.
#include "app/api_server.h"

#include <spdlog/spdlog.h>

#include <chrono>
#include <string>
#include <utility>

#include "app/config_values.h"
#include "app/installed_files.h"
#include "app/request_options.h"
#include "app/sessions.h"
#include "crypto/sealer.h"
#include "http_client/url.h"

namespace messaging::app {
namespace {

constexpr std::chrono::minutes kPauseLinePeriod{1};  // between lines of the log that say the same

pg::Connection::Events remember(std::string& last_error) {
    pg::Connection::Events events;
    events.on_down = [&last_error](const core::Error& error) { last_error = error.message; };
    events.on_connect_failed = events.on_down;
    return events;
}

}  // namespace

ApiServer::ApiServer(loop::EventLoop& loop, const core::Clock& clock, core::Random& random, const Config& config,
                     telemetry::Metrics& metrics, pg::Connection& control_session,
                     std::function<std::vector<handler::Check>()> checks)
    : loop_(loop),
      clock_(clock),
      config_(config),
      metrics_(metrics),
      list_session_(loop, random, session_options(config, SessionRole::kApi), remember(list_error_)),
      write_session_(loop, random, session_options(config, SessionRole::kApiWrite), remember(write_error_)),
      messages_(list_session_, write_session_),
      control_(control_session, list_session_),
      registry_(list_session_, write_session_),
      events_(list_session_, write_session_),
      replays_(list_session_, write_session_),
      secrets_(write_session_, crypto::Sealer(config.secrets_keys)),
      tested_endpoints_(write_session_, crypto::Sealer(config.secrets_keys)),
      test_client_(loop, gateway::for_tests(client_options(config))),
      tester_(tested_endpoints_, test_client_, clock, random, webhook_options(config, "")),
      api_({.messages = messages_,
            .endpoints = registry_,
            .events = events_,
            .replays = replays_,
            .secrets = secrets_,
            .control = control_,
            .tester = tester_},
           clock, random, api_options(std::move(checks))) {}

std::string ApiServer::session_unready_reason() const {
    if (!list_session_.up()) return "the API's session for lists: " + list_error_;
    if (!write_session_.up()) return "the API's session for writing: " + write_error_;
    return "";
}

core::Result<core::Unit> ApiServer::start() {
    http_server::ServerOptions options;
    options.address = config_.http_addr;
    options.port = config_.port;
    options.default_response = [this](int status, const std::string& why) { return api_.default_response(status, why); };
    options.screen = [this](const http::Request& request) { return api_.screen(request); };
    options.on_pause = [this] { on_accept_pause(); };
    auto server = http_server::Server::listen(loop_, std::move(options), api_.handler());
    if (!server) return core::Error{server.error().kind, server.error().message + "; set HTTP_ADDR or PORT"};
    server_ = std::move(server.value());
    spdlog::info("the API listens on {}/ (docs at /docs/index.html)", url_of(config_.http_addr, server_->port()));
    list_session_.start();
    write_session_.start();
    return core::Unit{};
}

handler::ApiOptions ApiServer::api_options(std::function<std::vector<handler::Check>()> checks) {
    handler::ApiOptions options;
    options.token = config_.api_token;
    options.hosts = config_.api_hosts;
    options.max_content_bytes = config_.max_content_bytes;
    options.docs_dir = installed_dir(config_.docs_dir, "docs");
    options.url_checks = {.form = http_client::check_url, .address = [this](const std::string& url) {
                              return http_client::check_target(url, config_.address_policy);
                          }};
    options.checks = std::move(checks);
    options.metrics_text = [this] {
        metrics_.set_dropped_log_lines(telemetry::dropped_log_lines());
        return metrics_.text();
    };
    options.on_request = [this](const handler::ServedRequest& request) { on_request(request); };
    options.on_fault = [this](const std::string& request_id, const core::Error& error) {
        const bool is_ours = error.kind == core::ErrorKind::kInternal;
        (is_ours ? failed_requests_ : unavailable_requests_).failed(error.message, " (request " + request_id + ")");
    };
    return options;
}

void ApiServer::on_request(const handler::ServedRequest& request) {
    metrics_.on_http_request(request.method, request.route, request.status, request.elapsed);
    if (request.status < 300 && handler::uses_postgres(request.route)) unavailable_requests_.recovered();
    spdlog::debug("request {}: {} {} answered {} in {} us", request.id, request.method, request.route, request.status,
                  request.elapsed.count());
}

void ApiServer::on_accept_pause() {
    metrics_.on_accept_pause();
    if (clock_.mono() < next_pause_line_) return;
    next_pause_line_ = clock_.mono() + kPauseLinePeriod;
    spdlog::warn(
        "the API takes no new connections, because three quarters of the file descriptors are in use; the rest is kept for "
        "deliveries; it tries again every 100 ms (raise ulimit -n)");
}

}  // namespace messaging::app
