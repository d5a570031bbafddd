// SignalWatcher: a Unix signal as a callback on a loop.
#pragma once

#include <functional>

#include "loop/event_loop.h"

namespace messaging::loop {

// Loop thread only; one loop of the process watches signals.
class SignalWatcher {
public:
    SignalWatcher(EventLoop& loop, int signal_number, std::function<void()> on_signal)
        : on_signal_(std::move(on_signal)), event_(evsignal_new(loop.base(), signal_number, &SignalWatcher::on_event, this)) {
        evsignal_add(event_.get(), nullptr);
    }
    SignalWatcher(const SignalWatcher&) = delete;
    SignalWatcher& operator=(const SignalWatcher&) = delete;

private:
    static void on_event(evutil_socket_t, short, void* self) noexcept { static_cast<SignalWatcher*>(self)->on_signal_(); }

    std::function<void()> on_signal_;
    EventHandle event_;
};

}  // namespace messaging::loop
