// Creates and connects the parts of one engine.
#include "app/engine_thread.h"

#include <pthread.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "app/request_options.h"
#include "app/sessions.h"
#include "app/system_clock.h"
#include "crypto/sealer.h"
#include "engine/engine.h"
#include "gateway/webhook_sender.h"
#include "http_client/client.h"
#include "loop/event_loop.h"
#include "pg/connection.h"
#include "redis/client.h"
#include "repository/claim_store.h"
#include "repository/doorbell_store.h"
#include "repository/endpoint_figures_store.h"
#include "repository/endpoint_state_store.h"
#include "repository/endpoint_store.h"
#include "repository/instance_store.h"
#include "repository/rate_limit_store.h"
#include "repository/receipt_backlog_store.h"
#include "repository/receipt_log.h"
#include "repository/record_store.h"
#include "repository/session_settings.h"
#include "telemetry/loop_lag.h"

namespace messaging::app {
namespace {

constexpr std::chrono::milliseconds kTurnPeriod{1000};  // the loop shows that it turns so often
constexpr std::chrono::seconds kTurnPatience{10};       // a loop that has not turned for so long is not ready
constexpr std::size_t kMaxClaimBytes = 16u << 20;       // of contents in one claim, were each as long as it may be

engine::EngineOptions engine_options(const Config& config, const std::string& name, const std::string& tag) {
    engine::EngineOptions options;
    options.name = name;
    options.session_tag = tag;
    options.dispatch.outcomes.backoff = config.backoff;
    options.dispatch.breaker.failures = config.breaker_failures;
    options.dispatch.max_in_flight = static_cast<std::size_t>(config.max_in_flight);
    options.max_claim =
        static_cast<int>(std::clamp<std::size_t>(kMaxClaimBytes / config.max_content_bytes, 1, engine::kMaxClaim));
    return options;
}

// Eight hexadecimal digits: two engines of one database hardly ever have the same.
std::string fresh_tag(core::Random& random) {
    return fmt::format("{:08x}", static_cast<std::uint32_t>(random.next_unit() * 4294967296.0));
}

}  // namespace

// Members in order of dependency; created and destroyed by the owner, on the main thread.
struct EngineThread::Inside {
    explicit Inside(EngineThread& owner)
        : owner_(owner),
          metrics_(owner.metrics_, clock_, owner.name_),
          lag_(loop_, owner.metrics_, owner.name_),
          claim_(loop_, random_, session_options(owner.config_, SessionRole::kClaim, tag_),
                 events(
                     claim_, engine::Dependency::kClaimSession, claim_errors_, [this] { engine_.on_claim_session_up(); }, [] {})),
          record_(loop_, random_, session_options(owner.config_, SessionRole::kRecord, tag_),
                  events(
                      record_, engine::Dependency::kRecordSession, record_errors_, [this] { engine_.on_record_session_up(); },
                      [] {})),
          listen_(loop_, random_, session_options(owner.config_, SessionRole::kListen, tag_),
                  events(
                      listen_, engine::Dependency::kListenSession, listen_errors_, [this] { engine_.on_listen_session_up(); },
                      [this] { engine_.on_listen_session_down(); })),
          redis_(loop_, random_, redis_options(owner.config_), redis_events()),
          client_(loop_, client_options(owner.config_)),
          claim_store_(claim_),
          record_store_(record_, !owner.config_.redis_url.empty()),
          endpoint_store_(claim_, crypto::Sealer(owner.config_.secrets_keys)),
          figures_store_(listen_),
          rate_store_(listen_),
          state_store_(listen_, owner.config_.disable_after),
          instance_store_(listen_),
          doorbell_store_(listen_),
          backlog_store_(record_),
          receipt_log_(redis_, {owner.config_.receipt_stream_max, owner.config_.receipt_ttl}),
          sender_(client_, clock_, webhook_options(owner.config_, owner.database_tag_)),
          engine_({.claims = claim_store_,
                   .records = record_store_,
                   .endpoints = endpoint_store_,
                   .figures = figures_store_,
                   .endpoint_states = state_store_,
                   .rates = rate_store_,
                   .instances = instance_store_,
                   .doorbell = doorbell_store_,
                   .backlog = backlog_store_,
                   .receipts = receipt_log_,
                   .sender = sender_},
                  loop_, clock_, random_, metrics_, engine_options(owner.config_, owner.name_, tag_)),
          turn_timer_(loop_.make_timer([this] { show_turn(); })) {}

    void show_turn() {
        owner_.last_turn_ = clock_.mono().time_since_epoch().count();
        turn_timer_->start(kTurnPeriod);
    }

    void start() {
        show_turn();
        claim_.start();
        record_.start();
        listen_.start();
        if (!owner_.config_.redis_url.empty()) redis_.start();
    }

    pg::Connection::Events events(const pg::Connection& session, engine::Dependency dependency, telemetry::DependencyLog& errors,
                                  std::function<void()> on_up, std::function<void()> on_down) {
        pg::Connection::Events events;
        events.on_up = [this, &session, dependency, &errors, on_up = std::move(on_up)] {
            if (session.reconnects() > 0) owner_.metrics_.on_reconnect(dependency);
            errors.recovered();
            update_ready();
            on_up();
        };
        events.on_down = [this, &errors, on_down = std::move(on_down)](const core::Error& error) {
            errors.failed("lost: " + error.message);
            update_ready();
            on_down();
        };
        events.on_connect_failed = [&errors](const core::Error& error) {
            errors.failed("waiting for PostgreSQL: " + error.message);
        };
        events.on_notify = [this](const std::string& channel) {
            if (channel == repository::kReadyChannel) {
                engine_.on_ready();
            } else if (channel == repository::kDueChannel) {
                engine_.on_due();
            } else {
                engine_.on_control_changed();
            }
        };
        return events;
    }

    redis::Client::Events redis_events() {
        redis::Client::Events events;
        events.on_up = [this] {
            if (redis_.reconnects() > 0) owner_.metrics_.on_reconnect(engine::Dependency::kRedis);
            redis_errors_log_.recovered();
            owner_.redis_up_ = true;
        };
        events.on_down = [this](const core::Error& error) {
            owner_.metrics_.on_redis_error();
            redis_errors_log_.failed(error.message);
            owner_.redis_up_ = false;
        };
        events.on_connect_failed = [this](const core::Error& error) {
            owner_.metrics_.on_redis_error();
            redis_errors_log_.failed(error.message);
        };
        return events;
    }

    void update_ready() { owner_.ready_ = claim_.up() && record_.up() && listen_.up(); }

    EngineThread& owner_;
    SystemClock clock_;
    telemetry::EngineMetrics metrics_;
    SystemRandom random_;
    const std::string tag_ = fresh_tag(random_);
    telemetry::DependencyLog errors_of(const char* what) const {
        return {"engine " + owner_.name_ + ", " + what, clock_, telemetry::SecondReason::kAtOnce};
    }
    telemetry::DependencyLog claim_errors_ = errors_of("claim session");
    telemetry::DependencyLog record_errors_ = errors_of("record session");
    telemetry::DependencyLog listen_errors_ = errors_of("listen session");
    telemetry::DependencyLog redis_errors_log_ = errors_of("Redis (receipts wait, sending goes on)");
    loop::EventLoop loop_;
    telemetry::LoopLag lag_;
    pg::Connection claim_;
    pg::Connection record_;
    pg::Connection listen_;
    redis::Client redis_;
    http_client::Client client_;
    repository::PgClaimStore claim_store_;
    repository::PgRecordStore record_store_;
    repository::PgEndpointStore endpoint_store_;
    repository::PgEndpointFiguresStore figures_store_;
    repository::PgRateLimitStore rate_store_;
    repository::PgEndpointStateStore state_store_;
    repository::PgInstanceStore instance_store_;
    repository::PgDoorbellStore doorbell_store_;
    repository::PgReceiptBacklogStore backlog_store_;
    repository::RedisReceiptLog receipt_log_;
    gateway::WebhookSender sender_;
    engine::Engine engine_;
    std::unique_ptr<loop::Timer> turn_timer_;
};

EngineThread::EngineThread(const Config& config, telemetry::Metrics& metrics, std::string name, std::string database_tag)
    : config_(config),
      metrics_(metrics),
      name_(std::move(name)),
      database_tag_(std::move(database_tag)),
      inside_(std::make_unique<Inside>(*this)) {
    thread_ = std::thread([this] { run(); });
}

EngineThread::~EngineThread() {
    inside_->loop_.stop();
    thread_.join();
}

void EngineThread::run() {
    pthread_setname_np(pthread_self(), "engine");  // for top -H
    inside_->start();
    inside_->loop_.run();
}

void EngineThread::stop(std::function<void(bool)> done) {
    inside_->loop_.post(
        [this, done = std::move(done)]() mutable { inside_->engine_.start_shutdown(config_.shutdown_timeout, std::move(done)); });
}

std::string EngineThread::unready_reason() const {
    const core::MonoTime last_turn{core::MonoTime::duration(last_turn_.load())};
    if (SystemClock().mono() - last_turn >= kTurnPatience)
        return name_ + " does not respond: its loop has not turned for " + std::to_string(kTurnPatience.count()) + " s";
    if (!ready_) return name_ + " has not all its sessions to PostgreSQL";
    const std::string failing = inside_->metrics_.failing();
    return failing.empty() ? "" : name_ + " fails: " + failing;
}

bool EngineThread::redis_up() const { return redis_up_; }

}  // namespace messaging::app
