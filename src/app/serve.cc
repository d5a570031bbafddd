// The life of the process: the checks before the start, the engines, the status, and the end.
#include "app/serve.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <memory>
#include <thread>
#include <vector>

#include "app/api_server.h"
#include "app/background_rounds.h"
#include "app/config_values.h"
#include "app/default_endpoint.h"
#include "app/engine_thread.h"
#include "app/installed_files.h"
#include "app/sessions.h"
#include "app/signal_thread.h"
#include "app/system_clock.h"
#include "loop/event_loop.h"
#include "schema/start_check.h"
#include "telemetry/logging.h"
#include "telemetry/loop_lag.h"
#include "telemetry/metrics.h"

namespace messaging::app {
namespace {

constexpr std::chrono::milliseconds kStartRetry{1000};
constexpr std::chrono::milliseconds kStatusPeriod{2000};     // the longest age of the gauges that come from PostgreSQL
constexpr std::chrono::milliseconds kAnswersPatience{1000};  // for the API's last answers to be written, at the end
constexpr std::chrono::milliseconds kAnswersPoll{10};
constexpr std::chrono::milliseconds kLogPatience{1000};  // for the last lines of the log, at the end

std::string host_name() {
    char name[256] = {};
    gethostname(name, sizeof(name) - 1);
    return name;
}

// Everything of the main thread; members in order of dependency.
class Service {
public:
    explicit Service(const Config& config)
        : config_(config),
          lag_(loop_, metrics_, "api"),
          session_(loop_, random_, session_options(config, SessionRole::kControl), session_events()),
          default_endpoint_(session_, config_),
          api_(loop_, clock_, random_, config_, metrics_, session_, [this] { return checks(); }),
          rounds_(loop_, clock_, random_, config_, metrics_),
          start_timer_(loop_.make_timer([this] { try_to_start(); })),
          status_timer_(loop_.make_timer([this] { refresh_status(); })),
          leave_timer_(loop_.make_timer([this] { leave(); })),
          signals_(loop_, [this] { on_signal(); }) {}

    int run() {
        // SIGPIPE: a client that has gone. SIGXFSZ: a log at the size limit of files; the write then fails. SIGUSR1 and
        // SIGUSR2: log rotations send them.
        for (const int ignored : {SIGPIPE, SIGXFSZ, SIGUSR1, SIGUSR2}) std::signal(ignored, SIG_IGN);
        const auto listening = api_.start();
        if (!listening) {
            spdlog::error("{}", listening.error().message);
            return 1;
        }
        spdlog::info("retries: {}", describe_retries(config_.backoff));
        session_.start();
        status_timer_->start(kStatusPeriod);
        loop_.run();
        api_.close();
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

    std::vector<handler::Check> checks() const {
        std::string engines = engines_.empty() ? "not started: " + not_started_ : "";
        bool redis = !engines_.empty();
        for (const auto& engine : engines_) {
            if (engines.empty()) engines = engine->unready_reason();
            redis = redis && engine->redis_up();
        }
        const std::string postgres = session_.up() ? api_.session_unready_reason() : session_error_;
        std::vector<handler::Check> checks{{"postgres", postgres.empty(), true, postgres},
                                           {"engines", engines.empty(), true, engines},
                                           {"running", !stopping_, true, stopping_ ? "the service is stopping" : ""},
                                           {"reconcile", rounds_.reconcile_error().empty(), false, rounds_.reconcile_error()}};
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
                write_default_endpoint();
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

    void write_default_endpoint() {
        default_endpoint_.write([this](const core::Result<core::Unit>& written) {
            if (written) {
                start_engines();
            } else {
                start_later(written.error());
            }
        });
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
        rounds_.start();
    }

    void refresh_status() {
        status_timer_->start(kStatusPeriod);
        if (!api_.can_read() || engines_.empty() || std::exchange(reading_status_, true)) return;
        api_.read_status([this](const core::Result<service::StatusView>& status) {
            reading_status_ = false;
            if (!status) return;
            default_endpoint_.on_read(status->default_url);
            metrics_.set_status(status.value());
        });
    }

    void on_signal() {
        stopping_ = true;
        spdlog::info("stopping: requests in flight may take {}; a second signal ends the process at once",
                     format_duration(config_.shutdown_timeout));
        api_.stop_accepting();
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
        if (api_.pending_responses() == 0 || waited_ >= kAnswersPatience) return loop_.stop();
        waited_ += kAnswersPoll;
        leave_timer_->start(kAnswersPoll);
    }

    const Config& config_;
    Config engine_config_ = config_;
    telemetry::Metrics metrics_;
    SystemRandom random_;
    SystemClock clock_;
    telemetry::DependencyLog session_errors_{"API session", clock_, telemetry::SecondReason::kAtOnce};
    telemetry::DependencyLog start_errors_{"start", clock_, telemetry::SecondReason::kAtOnce};
    loop::EventLoop loop_;
    telemetry::LoopLag lag_;
    pg::Connection session_;  // for start, stop and the checks before the start: no list delays them
    DefaultEndpoint default_endpoint_;
    ApiServer api_;
    BackgroundRounds rounds_;
    std::unique_ptr<loop::Timer> start_timer_;
    std::unique_ptr<loop::Timer> status_timer_;
    std::unique_ptr<loop::Timer> leave_timer_;
    SignalThread signals_;
    std::vector<std::unique_ptr<EngineThread>> engines_;
    std::string database_tag_;
    std::string session_error_ = kNotConnectedYet;
    std::string not_started_ = "the checks of the database have not finished yet";
    std::size_t left_ = 0;  // engines that have not finished
    std::chrono::milliseconds waited_{0};
    bool starting_ = false;
    bool reading_status_ = false;  // one at a time
    bool stopping_ = false;
    int exit_status_ = 0;
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
