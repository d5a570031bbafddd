// LoopLag: measures how late a loop fires its timers: what a blocked loop looks like from outside.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "app/metrics.h"
#include "loop/event_loop.h"

namespace messaging::app {

// Loop thread only.
class LoopLag {
public:
    LoopLag(loop::EventLoop& loop, Metrics& metrics, std::string name)
        : metrics_(metrics), name_(std::move(name)), timer_(loop.make_timer([this] { measure(); })) {
        arm();
    }

private:
    void arm() {
        due_ = std::chrono::steady_clock::now() + kPeriod;
        timer_->start(kPeriod);
    }
    void measure() {
        metrics_.on_loop_lag(name_,
                             std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - due_));
        arm();
    }

    static constexpr std::chrono::milliseconds kPeriod{1000};
    Metrics& metrics_;
    std::string name_;
    std::unique_ptr<loop::Timer> timer_;
    std::chrono::steady_clock::time_point due_;
};

}  // namespace messaging::app
