// Timer: calls a function once, after a delay. An interface, so that services and tests need no libevent.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

namespace messaging::loop {

// Loop thread only. Destroying a timer cancels it, also from inside its own callback.
class Timer {
public:
    virtual ~Timer() = default;
    // (Re)arms: fires once after `delay`; an earlier arming is forgotten. Never fires inside this call.
    virtual void start(std::chrono::milliseconds delay) = 0;
    virtual void stop() = 0;
    virtual bool armed() const = 0;
};

class TimerFactory {
public:
    virtual ~TimerFactory() = default;
    // Late by up to 4 ms.
    virtual std::unique_ptr<Timer> make_timer(std::function<void()> on_fire) = 0;
    // Late by some 0.1 ms, and dearer (precise_timer.h).
    virtual std::unique_ptr<Timer> make_precise_timer(std::function<void()> on_fire) = 0;
};

}  // namespace messaging::loop
