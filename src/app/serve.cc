// Creates and connects the parts of the process: the API, its sessions and the engines.
#include "app/serve.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <memory>
#include <thread>
#include <vector>

#include "app/config_values.h"
#include "app/engine_thread.h"
#include "app/installed_files.h"
#include "app/request_options.h"
#include "app/sessions.h"
#include "app/signal_thread.h"
#include "app/system_clock.h"
#include "engine/reconcile_store.h"
#include "engine/reconciler.h"
#include "engine/replay_rounds.h"
#include "engine/replayer.h"
#include "gateway/endpoint_tester.h"
#include "handler/api.h"
#include "http_client/client.h"
#include "http_client/url.h"
#include "http_server/server.h"
#include "loop/event_loop.h"
#include "repository/control_store.h"
#include "repository/endpoint_registry.h"
#include "repository/endpoint_store.h"
#include "repository/event_store.h"
#include "repository/message_store.h"
#include "repository/reconcile_store.h"
#include "repository/replay_rounds.h"
#include "repository/replay_store.h"
#include "repository/secret_store.h"
#include "schema/start_check.h"
#include "service/control_store.h"
#include "telemetry/logging.h"
#include "telemetry/loop_lag.h"
#include "telemetry/metrics.h"

namespace messaging::app {
namespace {

constexpr std::chrono::milliseconds kStartRetry{1000};
constexpr std::chrono::milliseconds kStatusPeriod{2000};     // the longest age of the gauges that come from PostgreSQL
constexpr std::chrono::minutes kPauseLinePeriod{1};          // between lines of the log that say the same
constexpr std::chrono::milliseconds kAnswersPatience{1000};  // for the API's last answers to be written, at the end
constexpr std::chrono::milliseconds kAnswersPoll{10};
constexpr std::chrono::milliseconds kLogPatience{1000};  // for the last lines of the log, at the end

std::string host_name() {
    char name[256] = {};
    gethostname(name, sizeof(name) - 1);
    return name;
}

constexpr const char* kNoUrlYet = "http://webhook-url-not-set.invalid/";  // as the migration makes the row

// Scheme, host and port: what follows may hold a secret.
std::string server_of(const std::string& url) {
    const std::size_t scheme = url.find("://");
    return url.substr(0, scheme == std::string::npos ? 0 : url.find_first_of("/?#", scheme + 3));
}

// Everything of the main thread; members in order of dependency.
class Service {
public:
    explicit Service(const Config& config)
        : config_(config),
          lag_(loop_, metrics_, "api"),
          session_(loop_, random_, session_options(config, SessionRole::kControl), session_events()),
          list_session_(loop_, random_, session_options(config, SessionRole::kApi), {}),
          write_session_(loop_, random_, session_options(config, SessionRole::kApiWrite), {}),
          messages_(list_session_, write_session_),
          control_(session_, list_session_),
          endpoints_(session_),
          registry_(list_session_, write_session_),
          events_(list_session_, write_session_),
          replays_(list_session_, write_session_),
          secrets_(write_session_, crypto::Sealer(config.secrets_keys)),
          tested_endpoints_(write_session_, crypto::Sealer(config.secrets_keys)),
          test_client_(loop_, gateway::for_tests(client_options(config))),
          tester_(tested_endpoints_, test_client_, clock_, random_, webhook_options(config, "")),
          api_({.messages = messages_,
                .endpoints = registry_,
                .events = events_,
                .replays = replays_,
                .secrets = secrets_,
                .control = control_,
                .tester = tester_},
               clock_, random_, api_options()),
          reconcile_session_(loop_, random_, session_options(config, SessionRole::kReconcile), reconcile_session_events()),
          reconcile_store_(reconcile_session_),
          reconciler_(reconcile_store_, loop_, random_, reconcile_events()),
          replay_rounds_(reconcile_session_),
          replayer_(replay_rounds_, loop_, random_, replay_events()),
          start_timer_(loop_.make_timer([this] { try_to_start(); })),
          status_timer_(loop_.make_timer([this] { refresh_status(); })),
          leave_timer_(loop_.make_timer([this] { leave(); })),
          signals_(loop_, [this] { on_signal(); }) {}

    int run() {
        // SIGPIPE: a client that has gone. SIGXFSZ: a log at the size limit of files; the write then fails. SIGUSR1 and
        // SIGUSR2: log rotations send them.
        for (const int ignored : {SIGPIPE, SIGXFSZ, SIGUSR1, SIGUSR2}) std::signal(ignored, SIG_IGN);
        http_server::ServerOptions options;
        options.address = config_.http_addr;
        options.port = config_.port;
        options.default_response = [this](int status, const std::string& why) { return api_.default_response(status, why); };
        options.screen = [this](const http::Request& request) { return api_.screen(request); };
        options.on_pause = [this] { on_accept_pause(); };
        auto server = http_server::Server::listen(loop_, std::move(options), api_.handler());
        if (!server) {
            spdlog::error("{}; set HTTP_ADDR or PORT", server.error().message);
            return 1;
        }
        server_ = std::move(server.value());
        spdlog::info("the API listens on {}/ (docs at /docs/index.html)", url_of(config_.http_addr, server_->port()));
        spdlog::info("retries: {}", describe_retries(config_.backoff));
        session_.start();
        list_session_.start();
        write_session_.start();
        status_timer_->start(kStatusPeriod);
        loop_.run();
        server_.reset();
        return exit_status_;
    }

private:
    pg::Connection::Events session_events() {
        pg::Connection::Events events;
        events.on_up = [this] {
            session_errors_.recovered();
            if (engines_.empty()) try_to_start();
        };
        events.on_down = [this](const core::Error& error) {
            session_error_ = error.message;
            session_errors_.failed(error.message);
        };
        events.on_connect_failed = [this](const core::Error& error) {
            if (engines_.empty() && schema::is_pooler_refusal(error)) return refuse(schema::pooler_error());
            session_error_ = error.message;
            session_errors_.failed("waiting for PostgreSQL: " + error.message);
        };
        return events;
    }

    void on_accept_pause() {
        metrics_.on_accept_pause();
        if (clock_.mono() < next_pause_line_) return;
        next_pause_line_ = clock_.mono() + kPauseLinePeriod;
        spdlog::warn(
            "the API takes no new connections, because three quarters of the file descriptors are in use; the rest is kept for "
            "deliveries; it tries again every 100 ms (raise ulimit -n)");
    }

    engine::Reconciler::Mediator reconcile_events() {
        return {.on_round =
                    [this](const engine::ReconcileRound& round) {
                        reconcile_errors_.recovered();
                        reconcile_error_.clear();
                        metrics_.on_reconcile_round(round);
                        if (round.found == 0) return;
                        spdlog::warn(
                            "queued {} messages that were unsent and in no place (inserted without the trigger, or a defect); "
                            "run messaging doctor",
                            round.found);
                    },
                .on_error =
                    [this](const core::Error& error) {
                        reconcile_errors_.failed(error.message);
                        reconcile_error_ = error.message;
                    }};
    }

    engine::Replayer::Mediator replay_events() {
        return {.on_round =
                    [this](const engine::ReplayRound& round) {
                        replay_errors_.recovered();
                        metrics_.on_replay_round(round);
                    },
                .on_error = [this](const core::Error& error) { replay_errors_.failed(error.message); }};
    }

    pg::Connection::Events reconcile_session_events() {
        pg::Connection::Events events;
        events.on_up = [this] {
            reconciler_.start();
            replayer_.start();
        };
        return events;
    }

    handler::ApiOptions api_options() {
        handler::ApiOptions options;
        options.token = config_.api_token;
        options.hosts = config_.api_hosts;
        options.max_content_bytes = config_.max_content_bytes;
        options.docs_dir = installed_dir(config_.docs_dir, "docs");
        options.url_checks = {.form = http_client::check_url, .address = [this](const std::string& url) {
                                  return http_client::check_target(url, config_.address_policy);
                              }};
        options.checks = [this] { return checks(); };
        options.metrics_text = [this] {
            metrics_.set_dropped_log_lines(telemetry::dropped_log_lines());
            return metrics_.text();
        };
        options.on_request = [this](const handler::ServedRequest& request) {
            metrics_.on_http_request(request.method, request.route, request.status, request.elapsed);
            if (request.status < 300 && handler::uses_postgres(request.route)) unavailable_requests_.recovered();
            spdlog::debug("request {}: {} {} answered {} in {} us", request.id, request.method, request.route, request.status,
                          request.elapsed.count());
        };
        options.on_fault = [this](const std::string& request_id, const core::Error& error) {
            const bool is_ours = error.kind == core::ErrorKind::kInternal;
            (is_ours ? failed_requests_ : unavailable_requests_).failed(error.message, " (request " + request_id + ")");
        };
        return options;
    }

    std::vector<handler::Check> checks() const {
        std::string engines = engines_.empty() ? "not started: " + not_started_ : "";
        bool redis = !engines_.empty();
        for (const auto& engine : engines_) {
            if (engines.empty()) engines = engine->unready_reason();
            redis = redis && engine->redis_up();
        }
        std::vector<handler::Check> checks{{"postgres", session_.up(), true, session_.up() ? "" : session_error_},
                                           {"engines", engines.empty(), true, engines},
                                           {"running", !stopping_, true, stopping_ ? "the service is stopping" : ""},
                                           {"reconcile", reconcile_error_.empty(), false, reconcile_error_}};
        if (!config_.redis_url.empty()) checks.push_back({"redis", redis, false, redis ? "" : "receipts wait"});
        return checks;
    }

    // The schema first: an engine on a schema it does not know would do harm.
    void try_to_start() {
        if (stopping_ || starting_ || !engines_.empty()) return;
        const auto files = schema::read_schema(installed_dir(config_.migrations_dir, "migrations"));
        if (!files) return refuse(files.error());
        starting_ = true;
        schema::check_start(session_, files.value(), [this](const core::Result<schema::StartFacts>& result) {
            starting_ = false;
            if (result) {
                database_tag_ = result->database_tag;
                // The table decides how long a message can be, whatever this process is told.
                engine_config_.max_content_bytes = std::max(config_.max_content_bytes, result->longest_content_bytes);
                set_default_endpoint();
            } else if (result.error().kind == core::ErrorKind::kConflict) {
                refuse(result.error());
            } else {
                start_later(result.error());
            }
        });
    }

    // Logs the reason at once and again each minute, because nothing is sent until the cause is repaired.
    void start_later(const core::Error& error) {
        not_started_ = error.message;
        start_errors_.failed(error.message);
        start_timer_->start(kStartRetry);
    }

    void set_default_endpoint() {
        endpoints_.set_default_endpoint(config_.webhook_url, config_.endpoint_max_in_flight,
                                        [this](const core::Result<std::string>& before) {
                                            if (before) {
                                                tell_redirection(before.value());
                                                start_engines();
                                            } else {
                                                start_later(before.error());
                                            }
                                        });
    }

    // All processes of one database send to the URL in this row, which the process that was started last has written.
    void tell_redirection(const std::string& before) const {
        if (before.empty() || before == config_.webhook_url || before == kNoUrlYet) return;
        spdlog::warn("WEBHOOK_URL has changed: every process sent to {} and sends to {} from now on", server_of(before),
                     server_of(config_.webhook_url));
    }

    void refuse(const core::Error& error) {
        spdlog::error("{}", error.message);
        exit_status_ = 1;
        loop_.stop();
    }

    void start_engines() {
        if (stopping_ || !engines_.empty()) return;
        for (int i = 0; i < config_.engines; ++i) {
            const std::string name = host_name() + ":" + std::to_string(getpid()) + "/" + std::to_string(i + 1);
            engines_.push_back(std::make_unique<EngineThread>(engine_config_, metrics_, name, database_tag_));
        }
        start_errors_.recovered();
        spdlog::info("started; engines: {}", engines_.size());
        reconcile_session_.start();
    }

    void refresh_status() {
        status_timer_->start(kStatusPeriod);
        if (!list_session_.up() || engines_.empty() || std::exchange(reading_status_, true)) return;
        control_.read_status([this](const core::Result<service::StatusView>& status) {
            reading_status_ = false;
            if (status) look_for_redirection(status->default_url);
            if (status) metrics_.set_status(status.value());
        });
    }

    void look_for_redirection(const std::string& url) {
        if (url.empty() || url == told_url_) return;
        told_url_ = url;
        if (url == config_.webhook_url) {
            spdlog::info("WEBHOOK_URL of this process is in force");
        } else {
            spdlog::warn(
                "WEBHOOK_URL of this process is not in force: another process, or SQL, has changed it, and messages go to {}",
                server_of(url));
        }
    }

    void on_signal() {
        stopping_ = true;
        spdlog::info("stopping: requests in flight may take {}; a second signal ends the process at once",
                     format_duration(config_.shutdown_timeout));
        server_->stop_accepting();
        left_ = engines_.size();
        if (left_ == 0) leave();
        for (const auto& engine : engines_) {
            engine->stop([this](bool clean) {
                loop_.post([this, clean] {
                    if (!clean)
                        spdlog::warn(
                            "an engine stopped before all outcomes were recorded; the messages concerned are sent again by "
                            "another process or at the next start");
                    if (--left_ == 0) leave();
                });
            });
        }
    }

    // The engines have ended. Waits until the clients have read the last answers, kAnswersPatience at most.
    void leave() {
        if (server_->pending_responses() == 0 || waited_ >= kAnswersPatience) return loop_.stop();
        waited_ += kAnswersPoll;
        leave_timer_->start(kAnswersPoll);
    }

    const Config& config_;
    Config engine_config_ = config_;
    telemetry::Metrics metrics_;
    SystemRandom random_;
    SystemClock clock_;
    telemetry::DependencyLog session_errors_{"API session", clock_, telemetry::SecondReason::kAtOnce};
    telemetry::DependencyLog reconcile_errors_{"reconcile", clock_};
    telemetry::DependencyLog replay_errors_{"replays", clock_};
    // A client can repeat a failing request without end, so each kind of failure has a bounded number of log lines.
    telemetry::DependencyLog unavailable_requests_{"API requests", clock_, telemetry::SecondReason::kAtOnce, "answered with 503"};
    telemetry::DependencyLog failed_requests_{"API requests", clock_, telemetry::SecondReason::kAtOnce, "answered with 500"};
    telemetry::DependencyLog start_errors_{"start", clock_, telemetry::SecondReason::kAtOnce};
    loop::EventLoop loop_;
    telemetry::LoopLag lag_;
    pg::Connection session_;       // for start, stop and the start itself: no list delays them
    pg::Connection list_session_;  // not logged: a failure of these two sessions is also one of session_
    pg::Connection write_session_;
    repository::PgMessageStore messages_;
    repository::PgControlStore control_;
    repository::PgEndpointStore endpoints_;
    repository::PgEndpointRegistry registry_;
    repository::PgEventStore events_;
    repository::PgReplayStore replays_;
    repository::PgSecretStore secrets_;
    repository::PgEndpointStore tested_endpoints_;
    http_client::Client test_client_;
    gateway::HttpEndpointTester tester_;
    handler::Api api_;
    pg::Connection reconcile_session_;
    repository::PgReconcileStore reconcile_store_;
    engine::Reconciler reconciler_;
    repository::PgReplayRounds replay_rounds_;
    engine::Replayer replayer_;
    std::unique_ptr<http_server::Server> server_;
    std::unique_ptr<loop::Timer> start_timer_;
    std::unique_ptr<loop::Timer> status_timer_;
    std::unique_ptr<loop::Timer> leave_timer_;
    SignalThread signals_;
    std::vector<std::unique_ptr<EngineThread>> engines_;
    std::string database_tag_;
    std::string session_error_ = "not connected yet";
    std::string not_started_ = "the checks of the database have not finished yet";
    std::string told_url_ = config_.webhook_url;  // the URL that the log has named last
    std::string reconcile_error_;                 // of the last round; empty when it went well
    std::size_t left_ = 0;                        // engines that have not finished
    std::chrono::milliseconds waited_{0};
    bool starting_ = false;
    bool reading_status_ = false;  // one at a time
    bool stopping_ = false;
    int exit_status_ = 0;
    core::MonoTime next_pause_line_{};
};

}  // namespace

int run_serve(const Config& config) {
    SignalThread::block_signals();
    telemetry::set_up_logging(config.log_level, config.log_format);
    const int status = std::make_unique<Service>(config)->run();
    if (!telemetry::finish_logging(kLogPatience)) _exit(status);  // nobody reads the log: its thread will not end
    return status;
}

}  // namespace messaging::app
