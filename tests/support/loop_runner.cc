// Polling and loop driving.
#include "support/loop_runner.h"

#include <thread>

namespace messaging::test {
namespace {

constexpr std::chrono::milliseconds kTick{2};

}  // namespace

bool wait_until(const std::function<bool()>& condition, std::chrono::milliseconds patience) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (!condition()) {
        if (std::chrono::steady_clock::now() >= deadline) return false;
        std::this_thread::sleep_for(kTick);
    }
    return true;
}

bool run_until(loop::EventLoop& loop, const std::function<bool()>& condition, std::chrono::milliseconds patience) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    const auto tick = loop.make_timer([] {});  // ends a round in which nothing else happens
    while (!condition()) {
        if (std::chrono::steady_clock::now() >= deadline) return false;
        tick->start(kTick);
        event_base_loop(loop.base(), EVLOOP_ONCE);
    }
    return true;
}

void run_once(loop::EventLoop& loop) { event_base_loop(loop.base(), EVLOOP_NONBLOCK); }

}  // namespace messaging::test
