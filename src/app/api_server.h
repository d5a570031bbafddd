// ApiServer: the HTTP API of the process: its server, its PostgreSQL sessions, its stores, and the log of its requests.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "app/config.h"
#include "core/clock.h"
#include "core/completion.h"
#include "core/random.h"
#include "core/result.h"
#include "gateway/endpoint_tester.h"
#include "handler/api.h"
#include "http_client/client.h"
#include "http_server/server.h"
#include "loop/event_loop.h"
#include "pg/connection.h"
#include "repository/control_store.h"
#include "repository/endpoint_registry.h"
#include "repository/endpoint_store.h"
#include "repository/event_store.h"
#include "repository/message_store.h"
#include "repository/replay_store.h"
#include "repository/secret_store.h"
#include "service/control_store.h"
#include "telemetry/logging.h"
#include "telemetry/metrics.h"

namespace messaging::app {

inline constexpr const char* kNotConnectedYet = "not connected yet";

// Loop thread only. Everything that it is given must outlive it.
class ApiServer {
public:
    // `control_session`: for start and stop, so that no list delays them. `checks`: those of /readyz.
    ApiServer(loop::EventLoop& loop, const core::Clock& clock, core::Random& random, const Config& config,
              telemetry::Metrics& metrics, pg::Connection& control_session, std::function<std::vector<handler::Check>()> checks);

    // Listens, and connects to PostgreSQL. The error says what to do.
    core::Result<core::Unit> start();
    // Closes the listening socket; open requests may still be answered.
    void stop_accepting() { server_->stop_accepting(); }
    // Requests not yet answered, and answers not yet written to the client.
    std::size_t pending_responses() const { return server_->pending_responses(); }
    // Ends the connections of the clients.
    void close() { server_.reset(); }

    // The first of its sessions that is not connected, and why; empty = both are.
    std::string session_unready_reason() const;
    // The session that reads lists and the status is up.
    bool can_read() const { return list_session_.up(); }
    void read_status(core::Completion<service::StatusView> done) { control_.read_status(std::move(done)); }

private:
    handler::ApiOptions api_options(std::function<std::vector<handler::Check>()> checks);
    void on_request(const handler::ServedRequest& request);
    void on_accept_pause();

    loop::EventLoop& loop_;
    const core::Clock& clock_;
    const Config& config_;
    telemetry::Metrics& metrics_;
    // A client can repeat a failing request without end, so each kind of failure has a bounded number of log lines.
    telemetry::DependencyLog unavailable_requests_{"API requests", clock_, telemetry::SecondReason::kAtOnce, "answered with 503"};
    telemetry::DependencyLog failed_requests_{"API requests", clock_, telemetry::SecondReason::kAtOnce, "answered with 500"};
    core::MonoTime next_pause_line_{};
    std::string list_error_ = kNotConnectedYet;  // the last one of list_session_
    std::string write_error_ = kNotConnectedYet;
    // The log has no line of its own for them: PostgreSQL mostly fails for the control session as well, and else a request that
    // fails has one.
    pg::Connection list_session_;
    pg::Connection write_session_;
    repository::PgMessageStore messages_;
    repository::PgControlStore control_;
    repository::PgEndpointRegistry registry_;
    repository::PgEventStore events_;
    repository::PgReplayStore replays_;
    repository::PgSecretStore secrets_;
    repository::PgEndpointStore tested_endpoints_;
    http_client::Client test_client_;
    gateway::HttpEndpointTester tester_;
    handler::Api api_;
    std::unique_ptr<http_server::Server> server_;  // depends-on: api_
};

}  // namespace messaging::app
