// Sockets: curl's sockets, watched on the loop.
#pragma once

#include <curl/curl.h>
#include <openssl/ssl.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "core/ip_address.h"
#include "http_client/input_meter.h"
#include "loop/fd_watcher.h"

namespace messaging::http_client {

// A connection as curl names it to its callbacks.
struct ConnectionName {
    const char* peer_address;
    int peer_port;
    int local_port;
};

// What curl is about to connect to; nullopt when that is no IP address.
std::optional<core::IpAddress> ip_address(const curl_sockaddr& address);

class Transfer;

// What curl reads from a connection at most before the loop turns; of a TLS connection it may be one record more.
inline constexpr std::size_t kMaxReadBytes = 4096;
// A looked-up address is used for new connections for this long. libcurl's 60 s would outlast four attempts of a message whose
// receiver has moved.
inline constexpr std::chrono::seconds kNameCacheTime{5};

// Loop thread only; must outlive the multi handle. A connection that is idle between two requests stays watched, which spares
// two system calls a request.
//
// What a receiver sends on an idle connection was not asked for, and curl (7.88 to 8.14) would use it as the answer to the
// next request. So an idle connection on which something arrives is shut down, and curl, which checks a connection before it
// uses it again, uses another one. HTTP/2 is exempt: its answers name the request they belong to, and pings may arrive at any
// time.
class Sockets {
public:
    // `on_ready` takes CURL_CSELECT_ bits; it may destroy this. `is_flood` is asked from time to time when so many bytes, counted
    // as they come from the kernel, were read for one request: true = the connection is shut down.
    using IsFlood = std::function<bool(Transfer* user, std::size_t bytes)>;
    Sockets(loop::EventLoop& loop, std::function<void(curl_socket_t, int events)> on_ready, IsFlood is_flood = nullptr);

    // As curl asks (CURL_POLL_), for `user`; CURL_POLL_REMOVE = it is idle.
    void watch(curl_socket_t fd, int what, Transfer* user = nullptr);
    // CURL_SOCKET_BAD with errno set when there is none to be had.
    curl_socket_t open(const curl_sockaddr& address);
    void close(curl_socket_t fd);

    // Says, right before a request is written, whether it may be written to this connection. It may not when data has already
    // arrived, in the kernel or in OpenSSL, or when the connection has ended; the connection is shut down then. `opened` are
    // the sockets that the request has opened; `tls` is null for a plain connection. A new TLS connection is always fit:
    // session tickets may have arrived on it.
    bool fit_for_request(const ConnectionName& name, const std::vector<curl_socket_t>& opened, const SSL* tls);
    // No request is to be written to this connection any more.
    void retire(const ConnectionName& name);
    // The connection speaks HTTP/2. `opened` as above; `meter` may be null.
    void mark_multiplexed(const ConnectionName& name, const std::vector<curl_socket_t>& opened,
                          std::shared_ptr<InputMeter> meter);

private:
    struct Watched {
        std::unique_ptr<loop::FdWatcher> watcher;
        bool ours = false;  // open() made it: close() will be called for it, unless connecting fails
        bool idle = false;
        bool fresh = true;  // no request was written yet
        bool multiplexed = false;
        std::shared_ptr<InputMeter> meter;  // where multiplexed
        std::chrono::steady_clock::time_point idle_since{};
        std::uint64_t name = 0;  // key in by_name_; 0 = not known yet
        Transfer* user = nullptr;
        unsigned turns = 0;          // of the loop in which input came for this request
        std::size_t read_bytes = 0;  // in the turns behind the first few, which are not counted
    };
    void on_event(curl_socket_t fd, loop::FdWatcher::Ready ready);
    void count_input(curl_socket_t fd, Watched& socket);
    Watched* find(const ConnectionName& name, const std::vector<curl_socket_t>& opened, curl_socket_t& fd);

    loop::EventLoop& loop_;
    std::function<void(curl_socket_t, int events)> on_ready_;
    IsFlood is_flood_;
    std::unordered_map<curl_socket_t, Watched> watched_;
    std::unordered_map<std::uint64_t, curl_socket_t> by_name_;
};

}  // namespace messaging::http_client
