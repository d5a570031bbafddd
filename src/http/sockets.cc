// Which socket is watched for what.
#include "http/sockets.h"

#include <sys/socket.h>
#include <unistd.h>

#include <utility>

namespace messaging::http {

Sockets::Sockets(loop::EventLoop& loop, std::function<void(curl_socket_t, int events)> on_ready)
    : loop_(loop), on_ready_(std::move(on_ready)) {}

void Sockets::watch(curl_socket_t fd, int what) {
    Watched& socket = watched_[fd];
    socket.resting = what == CURL_POLL_REMOVE;
    if (socket.resting) {
        if (!socket.ours) watched_.erase(fd);
        return;
    }
    if (!socket.watcher) {
        socket.watcher =
            std::make_unique<loop::FdWatcher>(loop_, [this, fd](loop::FdWatcher::Ready ready) { on_event(fd, ready); });
    }
    socket.watcher->watch(fd, (what & CURL_POLL_IN) != 0, (what & CURL_POLL_OUT) != 0);
}

void Sockets::on_event(curl_socket_t fd, loop::FdWatcher::Ready ready) {
    Watched& socket = watched_.at(fd);
    if (socket.resting) {
        socket.watcher->unwatch();
    } else {
        on_ready_(fd, (ready.readable ? CURL_CSELECT_IN : 0) | (ready.writable ? CURL_CSELECT_OUT : 0));
    }
}

curl_socket_t Sockets::open(const curl_sockaddr& address) {
    const int fd = socket(address.family, address.socktype | SOCK_CLOEXEC, address.protocol);
    if (fd < 0) return CURL_SOCKET_BAD;
    watched_.insert_or_assign(fd, Watched{nullptr, true, false});
    return fd;
}

void Sockets::close(curl_socket_t fd) {
    watched_.erase(fd);
    ::close(fd);
}

}  // namespace messaging::http
