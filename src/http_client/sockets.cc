// Watches curl's sockets, and shuts down connections that must not be used again.
#include "http_client/sockets.h"

#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <string_view>
#include <utility>

namespace messaging::http_client {
namespace {

constexpr int kMaxDrainReads = 256;
// Turns of the loop whose input is not counted: most answers arrive in one turn, and counting costs a system call.
constexpr unsigned kUncountedTurns = 8;
// When a connection becomes idle, curl has just read it empty. A request that follows within this time, mostly in the same turn
// of the loop, is written without another check: data that arrives in so short a time could as well arrive right after the write.
constexpr std::chrono::microseconds kJustIdle{200};

std::uint64_t key_of(const ConnectionName& name) {
    const std::uint64_t ports = static_cast<std::uint64_t>(name.local_port) << 16 | static_cast<std::uint64_t>(name.peer_port);
    const std::uint64_t key = std::hash<std::string_view>()(name.peer_address) ^ (ports * 0x9e3779b97f4a7c15u);
    return key == 0 ? 1 : key;
}

int local_port(curl_socket_t fd) {
    sockaddr_storage address{};
    socklen_t length = sizeof address;
    if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) return -1;
    // The port is at the same place in both.
    return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&address)->sin6_port
                                               : reinterpret_cast<sockaddr_in*>(&address)->sin_port);
}

// Bytes that nobody has read, or the end.
bool has_input(curl_socket_t fd) {
    char byte = 0;
    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0;
}

// Shuts the connection down and discards what has arrived, because over TLS curl considers a connection with unread data alive.
void end(curl_socket_t fd) {
    ::shutdown(fd, SHUT_RDWR);
    std::array<char, 4096> unread{};
    for (int reads = 0; reads < kMaxDrainReads && recv(fd, unread.data(), unread.size(), MSG_DONTWAIT) > 0; ++reads) {
    }
}

}  // namespace

std::optional<core::IpAddress> ip_address(const curl_sockaddr& address) {
    const void* const whole = &address.addr;  // curl has room for every family behind it
    if (address.family == AF_INET) {
        core::IpAddress::V4 bytes{};
        std::memcpy(bytes.data(), &static_cast<const sockaddr_in*>(whole)->sin_addr, bytes.size());
        return core::IpAddress(bytes);
    }
    if (address.family == AF_INET6) {
        core::IpAddress::V6 bytes{};
        std::memcpy(bytes.data(), &static_cast<const sockaddr_in6*>(whole)->sin6_addr, bytes.size());
        return core::IpAddress(bytes);
    }
    return std::nullopt;
}

Sockets::Sockets(loop::EventLoop& loop, std::function<void(curl_socket_t, int events)> on_ready, IsFlood is_flood)
    : loop_(loop), on_ready_(std::move(on_ready)), is_flood_(std::move(is_flood)) {}

void Sockets::watch(curl_socket_t fd, int what, Transfer* user) {
    Watched& socket = watched_[fd];
    socket.user = user;
    socket.idle = what == CURL_POLL_REMOVE;
    if (socket.idle) {
        socket.idle_since = loop::EventLoop::now();
        if (!socket.ours) {
            watched_.erase(fd);
        } else if (socket.fresh) {
            // Where connecting has failed curl closes the socket without a word, and somebody else may be given its number.
            socket.watcher.reset();
        }
        return;
    }
    if (!socket.watcher) {
        socket.watcher =
            std::make_unique<loop::FdWatcher>(loop_, [this, fd](loop::FdWatcher::Ready ready) { on_event(fd, ready); });
    }
    socket.watcher->watch(fd, (what & CURL_POLL_IN) != 0, (what & CURL_POLL_OUT) != 0);
}

void Sockets::on_event(curl_socket_t fd, loop::FdWatcher::Ready ready) {
    const auto found = watched_.find(fd);
    if (found == watched_.end()) return;
    Watched& socket = found->second;
    if (socket.idle) {
        socket.watcher->unwatch();
        if (!socket.multiplexed) end(fd);
    } else {
        if (ready.readable && socket.meter) {
            socket.meter->begin_turn();
        } else if (ready.readable) {
            count_input(fd, socket);
        }
        on_ready_(fd, (ready.readable ? CURL_CSELECT_IN : 0) | (ready.writable ? CURL_CSELECT_OUT : 0));
    }
}

// curl counts what is left of a body when the framing is taken off; a receiver can send framing without end.
void Sockets::count_input(curl_socket_t fd, Watched& socket) {
    if (++socket.turns <= kUncountedTurns || !is_flood_) return;
    int waiting = 0;
    if (ioctl(fd, FIONREAD, &waiting) != 0) return;
    socket.read_bytes += std::min(static_cast<std::size_t>(waiting), kMaxReadBytes);
    if (is_flood_(socket.user, socket.read_bytes)) end(fd);
}

curl_socket_t Sockets::open(const curl_sockaddr& address) {
    const int fd = socket(address.family, address.socktype | SOCK_CLOEXEC, address.protocol);
    if (fd < 0) return CURL_SOCKET_BAD;
    Watched watched;
    watched.ours = true;
    watched_.insert_or_assign(fd, std::move(watched));
    return fd;
}

void Sockets::close(curl_socket_t fd) {
    const auto socket = watched_.find(fd);
    if (socket != watched_.end()) {
        by_name_.erase(socket->second.name);
        watched_.erase(socket);
    }
    ::close(fd);
}

Sockets::Watched* Sockets::find(const ConnectionName& name, const std::vector<curl_socket_t>& opened, curl_socket_t& fd) {
    const std::uint64_t key = key_of(name);
    const auto known = by_name_.find(key);
    if (known != by_name_.end()) {
        const auto socket = watched_.find(known->second);
        if (socket != watched_.end()) {
            fd = known->second;
            return &socket->second;
        }
    }
    for (const curl_socket_t one : opened) {
        const auto socket = watched_.find(one);
        if (socket == watched_.end() || local_port(one) != name.local_port) continue;
        fd = one;
        socket->second.name = key;
        by_name_.emplace(key, one);
        return &socket->second;
    }
    return nullptr;
}

bool Sockets::fit_for_request(const ConnectionName& name, const std::vector<curl_socket_t>& opened, const SSL* tls) {
    curl_socket_t fd = CURL_SOCKET_BAD;
    Watched* const socket = find(name, opened, fd);
    if (socket == nullptr) return true;
    socket->turns = 0;
    socket->read_bytes = 0;
    const bool was_idle = socket->idle && !socket->multiplexed && loop::EventLoop::now() - socket->idle_since > kJustIdle;
    const bool check = std::exchange(socket->fresh, false) ? tls == nullptr : was_idle;
    if (!check || (!has_input(fd) && (tls == nullptr || SSL_has_pending(tls) == 0))) return true;
    end(fd);
    return false;
}

void Sockets::retire(const ConnectionName& name) {
    curl_socket_t fd = CURL_SOCKET_BAD;
    const Watched* const socket = find(name, {}, fd);
    if (socket != nullptr && socket->idle && !socket->multiplexed) end(fd);
}

void Sockets::mark_multiplexed(const ConnectionName& name, const std::vector<curl_socket_t>& opened,
                               std::shared_ptr<InputMeter> meter) {
    curl_socket_t fd = CURL_SOCKET_BAD;
    Watched* const socket = find(name, opened, fd);
    if (socket == nullptr) return;
    socket->multiplexed = true;
    socket->meter = std::move(meter);
}

}  // namespace messaging::http_client
