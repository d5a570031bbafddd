// LoopLag: measures how late a loop fires its timers, which shows that the loop was blocked.
#pragma once

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "loop/event_loop.h"
#include "telemetry/metrics.h"

namespace messaging::telemetry {

// Loop thread only. Tells the longest of the last 10 to 20 seconds, so that a block is seen however seldom somebody looks.
class LoopLag {
public:
    LoopLag(loop::EventLoop& loop, Metrics& metrics, std::string name)
        : metrics_(metrics), name_(std::move(name)), timer_(loop.make_timer([this] { measure(); })) {
        arm();
    }

private:
    void arm() {
        due_ = loop::EventLoop::now() + kPeriod;
        timer_->start(kPeriod);
    }
    void measure() {
        const core::MonoTime now = loop::EventLoop::now();
        if (now >= window_end_) {
            before_ = std::exchange(longest_, std::chrono::microseconds(0));
            window_end_ = now + kWindow;
        }
        longest_ = std::max(longest_, std::chrono::duration_cast<std::chrono::microseconds>(now - due_));
        metrics_.on_loop_lag(name_, std::max(before_, longest_));
        arm();
    }

    static constexpr std::chrono::milliseconds kPeriod{100};
    static constexpr std::chrono::seconds kWindow{10};
    Metrics& metrics_;
    std::string name_;
    std::unique_ptr<loop::Timer> timer_;
    core::MonoTime due_;
    core::MonoTime window_end_;
    std::chrono::microseconds longest_{0};  // of this window
    std::chrono::microseconds before_{0};   // of the window before
};

}  // namespace messaging::telemetry
