// EventTimer: a Timer on libevent. Made by EventLoop::make_timer.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "loop/event_loop.h"

namespace messaging::loop {

class EventTimer : public Timer {
public:
    EventTimer(const EventLoop& loop, std::function<void()> on_fire);

    void start(std::chrono::milliseconds delay) override;
    void stop() override;
    bool armed() const override;

private:
    static void on_timeout(evutil_socket_t, short, void* self) noexcept;

    const EventLoop& loop_;
    std::shared_ptr<std::function<void()>> on_fire_;
    EventHandle event_;
};

}  // namespace messaging::loop
