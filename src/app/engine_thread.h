// EngineThread: one engine with its loop, its PostgreSQL and Redis sessions and its HTTP client, on a thread of its own.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "app/config.h"
#include "telemetry/engine_metrics.h"

namespace messaging::app {

// Created, stopped and joined by the main thread. Everything inside belongs to its own thread.
class EngineThread {
public:
    // `name` is shown in /status; `database_tag` is part of each webhook-id.
    EngineThread(const Config& config, telemetry::Metrics& metrics, std::string name, std::string database_tag);
    ~EngineThread();  // joins; call stop() first for a clean end
    EngineThread(const EngineThread&) = delete;
    EngineThread& operator=(const EngineThread&) = delete;

    // Any thread: begins a graceful end; `done` runs on the engine's thread when it has ended.
    void stop(std::function<void(bool clean)> done);
    // Any thread: why it is not ready (a session to PostgreSQL is not up, the loop does not turn, or work has failed for too
    // long); empty when it is.
    std::string unready_reason() const;
    bool redis_up() const;

private:
    struct Inside;
    void run();

    const Config config_;
    telemetry::Metrics& metrics_;
    const std::string name_;
    const std::string database_tag_;
    std::atomic<bool> ready_{false};
    std::atomic<bool> redis_up_{false};
    std::atomic<core::MonoTime::rep> last_turn_{0};  // of the engine's loop, by the monotonic clock
    std::unique_ptr<Inside> inside_;                 // depends-on: everything above
    std::thread thread_;
};

}  // namespace messaging::app
