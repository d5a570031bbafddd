// PreciseTimer: a Timer on a timerfd, which is late by some 0.1 ms. Made by EventLoop::make_precise_timer.
//
// libevent's timers read CLOCK_MONOTONIC_COARSE, which ticks every 4 ms on most kernels: a pause of 1 ms lasted 4 to 5 ms. With
// EVENT_BASE_FLAG_PRECISE_TIMER each turn of the loop sets a timerfd, which took 10 to 15 % of a drain. This timer costs two
// system calls for each firing: it is for pauses of a few milliseconds that somebody waits for.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "loop/fd_watcher.h"

namespace messaging::loop {

class PreciseTimer : public Timer {
public:
    PreciseTimer(EventLoop& loop, std::function<void()> on_fire);
    ~PreciseTimer() override;
    PreciseTimer(const PreciseTimer&) = delete;
    PreciseTimer& operator=(const PreciseTimer&) = delete;

    void start(std::chrono::milliseconds delay) override;
    void stop() override;
    bool armed() const override { return armed_; }

private:
    void set(std::chrono::nanoseconds delay);
    void on_readable();

    std::shared_ptr<std::function<void()>> on_fire_;
    int fd_;
    FdWatcher watcher_;  // depends-on: fd_
    bool armed_ = false;
};

}  // namespace messaging::loop
