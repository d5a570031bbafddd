// The JSON formatter, and the log of states of dependencies.
#include "telemetry/logging.h"

#include <spdlog/async.h>
#include <spdlog/formatter.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <future>
#include <memory>
#include <thread>
#include <utility>

#include "core/json.h"
#include "core/rfc3339.h"
#include "loop/event_loop.h"

namespace messaging::telemetry {
namespace {

constexpr std::chrono::minutes kQuietBeforeFailure{1};

// A spdlog pattern does not escape, so the line is written by the JSON writer.
class JsonFormatter : public spdlog::formatter {
public:
    void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& destination) override {
        const auto level = spdlog::level::to_string_view(message.level);
        core::JsonWriter json;
        json.begin_object();
        json.key("time").string(core::format_rfc3339_ms(message.time));
        json.key("level").string({level.data(), level.size()});
        json.key("thread").integer(static_cast<std::int64_t>(message.thread_id));
        json.key("message").string({message.payload.data(), message.payload.size()});
        json.end_object();
        const std::string_view line = json.text();
        destination.append(line.data(), line.data() + line.size());
        destination.push_back('\n');
    }
    std::unique_ptr<formatter> clone() const override { return std::make_unique<JsonFormatter>(); }
};

// The log's own thread may be writing when nobody waits for it any more, so the logger is never destroyed.
void keep(const std::shared_ptr<spdlog::logger>& logger) {
    static const auto* const kept = new std::shared_ptr<spdlog::logger>(logger);
    static_cast<void>(kept);
}

}  // namespace

void set_up_logging(const std::string& level, LogFormat format) {
    spdlog::init_thread_pool(kMaxLogLines, 1);
    const auto make = [](spdlog::sink_ptr sink) {
        return std::make_shared<spdlog::async_logger>("messaging", std::move(sink), spdlog::thread_pool(),
                                                      spdlog::async_overflow_policy::overrun_oldest);
    };
    std::shared_ptr<spdlog::logger> logger;
    if (format == LogFormat::kJson) {
        logger = make(std::make_shared<spdlog::sinks::stderr_sink_mt>());
        logger->set_formatter(std::make_unique<JsonFormatter>());
    } else {
        logger = make(std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
        logger->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %^%l%$ %v", spdlog::pattern_time_type::utc);
    }
    logger->set_level(spdlog::level::from_str(level));
    keep(logger);
    spdlog::set_default_logger(std::move(logger));
    // As a line like any other: JSON must stay JSON.
    loop::set_libevent_log([](const char* message) { spdlog::warn("libevent: {}", message); });
}

std::size_t dropped_log_lines() {
    const auto pool = spdlog::thread_pool();
    return pool ? pool->overrun_counter() : 0;
}

bool finish_logging(std::chrono::milliseconds patience) {
    loop::set_libevent_log(nullptr);
    std::packaged_task<void()> finish(&spdlog::shutdown);
    const auto finished = finish.get_future();
    std::thread thread(std::move(finish));
    if (finished.wait_for(patience) != std::future_status::ready) {
        thread.detach();
        return false;
    }
    thread.join();
    return true;
}

void DependencyLog::failed(const std::string& reason, const std::string& which) {
    const core::MonoTime now = clock_.mono();
    const bool is_second = logged_failing_ && !second_logged_ && second_ == SecondReason::kAtOnce;
    const bool is_soon = last_line_ && now - *last_line_ < kQuietBeforeFailure;
    if (is_soon && (!is_second || reason == logged_reason_)) {
        ++left_out_;
        return;
    }
    second_logged_ = is_second;
    last_line_ = now;
    logged_failing_ = true;
    logged_reason_ = reason;
    const std::size_t left_out = std::exchange(left_out_, 0);
    if (left_out == 0) {
        spdlog::warn("{}: {}{}; {}", subject_, reason, which, next_);
    } else {
        spdlog::warn("{}: {}{}; {} ({} failures since the last line)", subject_, reason, which, next_, left_out);
    }
}

void DependencyLog::recovered() {
    if (!logged_failing_) return;
    last_line_ = clock_.mono();
    logged_failing_ = false;
    spdlog::info("{}: recovered ({} failures since the last line)", subject_, std::exchange(left_out_, 0));
}

}  // namespace messaging::telemetry
