// Timer on a timerfd.
#include "loop/precise_timer.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <utility>

namespace messaging::loop {

PreciseTimer::PreciseTimer(EventLoop& loop, std::function<void()> on_fire)
    : on_fire_(std::make_shared<std::function<void()>>(std::move(on_fire))),
      fd_(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)),
      watcher_(loop, [this](FdWatcher::Ready) { on_readable(); }) {
    if (fd_ < 0) std::abort();  // no descriptor at the start: nothing can work
    watcher_.watch(fd_, true, false);
}

PreciseTimer::~PreciseTimer() {
    watcher_.unwatch();
    close(fd_);
}

void PreciseTimer::set(std::chrono::nanoseconds delay) {
    const auto whole = std::chrono::floor<std::chrono::seconds>(delay);
    const itimerspec wait{{}, {static_cast<time_t>(whole.count()), static_cast<long>((delay - whole).count())}};
    timerfd_settime(fd_, 0, &wait, nullptr);
}

void PreciseTimer::start(std::chrono::milliseconds delay) {
    set(std::max<std::chrono::nanoseconds>(delay, std::chrono::nanoseconds(1)));  // 0 would disarm it
    armed_ = true;
}

void PreciseTimer::stop() {
    set(std::chrono::nanoseconds(0));
    armed_ = false;
}

void PreciseTimer::on_readable() {
    std::uint64_t expirations = 0;
    // Nothing to read: it was stopped, or started again, after the loop had seen it.
    if (read(fd_, &expirations, sizeof expirations) != sizeof expirations || !armed_) return;
    armed_ = false;
    // The callback may destroy this timer: it is kept alive apart from it.
    const auto callback = on_fire_;
    (*callback)();
}

}  // namespace messaging::loop
