// Watches one descriptor with a libevent event.
#include "loop/fd_watcher.h"

#include <cstdlib>
#include <utility>

namespace messaging::loop {

FdWatcher::FdWatcher(EventLoop& loop, std::function<void(Ready)> on_ready)
    : loop_(loop), on_ready_(std::make_shared<std::function<void(Ready)>>(std::move(on_ready))) {}

FdWatcher::~FdWatcher() = default;

void FdWatcher::watch(int fd, bool for_read, bool for_write) {
    loop_.assert_loop_thread();
    const short flags = static_cast<short>((for_read ? EV_READ : 0) | (for_write ? EV_WRITE : 0));
    if (event_ && fd == fd_ && flags == flags_) return;
    event_.reset();
    fd_ = fd;
    flags_ = flags;
    if (flags == 0) return;
    event_.reset(event_new(loop_.base(), fd, static_cast<short>(flags | EV_PERSIST), &FdWatcher::on_event, this));
    if (!event_ || event_add(event_.get(), nullptr) != 0) std::abort();  // a descriptor that epoll refuses is a bug of ours
}

void FdWatcher::unwatch() {
    loop_.assert_loop_thread();
    event_.reset();
    fd_ = -1;
    flags_ = 0;
}

void FdWatcher::on_event(evutil_socket_t, short what, void* self) noexcept {
    const auto callback = static_cast<FdWatcher*>(self)->on_ready_;  // it may destroy the watcher
    (*callback)({(what & EV_READ) != 0, (what & EV_WRITE) != 0});
}

}  // namespace messaging::loop
