// Timer on libevent.
#include <utility>

#include "loop/event_loop.h"

namespace messaging::loop {
namespace {

class EventTimer : public Timer {
public:
    EventTimer(event_base* base, std::function<void()> on_fire)
        : on_fire_(std::make_shared<std::function<void()>>(std::move(on_fire))),
          event_(evtimer_new(base, &EventTimer::on_timeout, this)) {}

    void start(std::chrono::milliseconds delay) override {
        const auto count = delay.count() < 0 ? 0 : delay.count();
        const timeval wait{static_cast<time_t>(count / 1000), static_cast<suseconds_t>(count % 1000 * 1000)};
        evtimer_add(event_.get(), &wait);
    }
    void stop() override { evtimer_del(event_.get()); }
    bool armed() const override { return evtimer_pending(event_.get(), nullptr) != 0; }

private:
    static void on_timeout(evutil_socket_t, short, void* self) noexcept {
        // The callback may destroy this timer: it is kept alive apart from it.
        const auto callback = static_cast<EventTimer*>(self)->on_fire_;
        (*callback)();
    }

    std::shared_ptr<std::function<void()>> on_fire_;
    EventHandle event_;
};

}  // namespace

std::unique_ptr<Timer> EventLoop::make_timer(std::function<void()> on_fire) {
    return std::make_unique<EventTimer>(base(), std::move(on_fire));
}

}  // namespace messaging::loop
