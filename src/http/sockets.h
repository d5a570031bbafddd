// Sockets: curl's sockets, watched on the loop.
#pragma once

#include <curl/curl.h>

#include <functional>
#include <memory>
#include <unordered_map>

#include "loop/fd_watcher.h"

namespace messaging::http {

// Loop thread only; must outlive the multi handle. A connection that rests between two requests stays watched, which spares
// two system calls a request. Should it end meanwhile, that wakes us once, and then it is watched no more.
class Sockets {
public:
    // `on_ready` takes CURL_CSELECT_ bits; it may destroy this.
    Sockets(loop::EventLoop& loop, std::function<void(curl_socket_t, int events)> on_ready);

    // As curl asks (CURL_POLL_); CURL_POLL_REMOVE = it rests.
    void watch(curl_socket_t fd, int what);
    // CURL_SOCKET_BAD with errno set when there is none to be had.
    curl_socket_t open(const curl_sockaddr& address);
    void close(curl_socket_t fd);

private:
    struct Watched {
        std::unique_ptr<loop::FdWatcher> watcher;
        bool ours = false;  // close() will be called for it; what curl makes for itself goes without a word
        bool resting = false;
    };
    void on_event(curl_socket_t fd, loop::FdWatcher::Ready ready);

    loop::EventLoop& loop_;
    std::function<void(curl_socket_t, int events)> on_ready_;
    std::unordered_map<curl_socket_t, Watched> watched_;
};

}  // namespace messaging::http
