// FdWatcher: calls a function when a descriptor can be read or written. It does not own the descriptor.
#pragma once

#include <functional>
#include <memory>

#include "loop/event_loop.h"

namespace messaging::loop {

// Loop thread only. Must be destroyed (or reset with watch()) before the descriptor is closed.
class FdWatcher {
public:
    struct Ready {
        bool readable = false;
        bool writable = false;
    };

    FdWatcher(EventLoop& loop, std::function<void(Ready)> on_ready);
    ~FdWatcher();
    FdWatcher(const FdWatcher&) = delete;
    FdWatcher& operator=(const FdWatcher&) = delete;

    // Level-triggered and persistent until the next call. Both false = not watched. A changed fd re-registers.
    void watch(int fd, bool for_read, bool for_write);
    void unwatch();

private:
    static void on_event(evutil_socket_t fd, short what, void* self) noexcept;

    EventLoop& loop_;
    std::shared_ptr<std::function<void(Ready)>> on_ready_;
    EventHandle event_;
    int fd_ = -1;
    short flags_ = 0;
};

}  // namespace messaging::loop
