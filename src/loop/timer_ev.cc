// Timer on libevent.
#include "loop/timer_ev.h"

#include <utility>

namespace messaging::loop {

EventTimer::EventTimer(const EventLoop& loop, std::function<void()> on_fire)
    : loop_(loop),
      on_fire_(std::make_shared<std::function<void()>>(std::move(on_fire))),
      event_(evtimer_new(loop.base(), &EventTimer::on_timeout, this)) {}

void EventTimer::start(std::chrono::milliseconds delay) {
    loop_.assert_loop_thread();
    const auto count = delay.count() < 0 ? 0 : delay.count();
    const timeval wait{static_cast<time_t>(count / 1000), static_cast<suseconds_t>(count % 1000 * 1000)};
    evtimer_add(event_.get(), &wait);
}

void EventTimer::stop() {
    loop_.assert_loop_thread();
    evtimer_del(event_.get());
}

bool EventTimer::armed() const { return evtimer_pending(event_.get(), nullptr) != 0; }

void EventTimer::on_timeout(evutil_socket_t, short, void* self) noexcept {
    // The callback may destroy this timer: it is kept alive apart from it.
    const auto callback = static_cast<EventTimer*>(self)->on_fire_;
    (*callback)();
}

}  // namespace messaging::loop
