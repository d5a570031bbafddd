// Blocking sockets.
#include "support/raw_tcp.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <thread>
#include <utility>

#include "core/ip_address.h"

namespace messaging::test {
namespace {

constexpr int kPatienceMs = 20000;

sockaddr_in loopback(int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    return address;
}

bool send_all(int fd, const std::string& bytes) {
    std::size_t sent = 0;
    while (sent < bytes.size()) {
        const ssize_t count = ::send(fd, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
        if (count <= 0) return false;
        sent += static_cast<std::size_t>(count);
    }
    return true;
}

// False at the end of the stream, on an error, or when nothing comes for very long.
bool receive_some(int fd, std::string& into) {
    pollfd waiting{fd, POLLIN, 0};
    if (::poll(&waiting, 1, kPatienceMs) <= 0) return false;
    char buffer[16384];
    const ssize_t count = ::recv(fd, buffer, sizeof(buffer), 0);
    if (count <= 0) return false;
    into.append(buffer, static_cast<std::size_t>(count));
    return true;
}

std::size_t content_length(const std::string& head) {
    const std::size_t at = head.find("Content-Length: ");
    return at == std::string::npos ? 0 : static_cast<std::size_t>(std::strtoull(head.c_str() + at + 16, nullptr, 10));
}

// -1 when nobody listens.
int connect_to(int port, int receive_buffer = 0) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (receive_buffer > 0) ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    const sockaddr_in address = loopback(port);
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) return fd;
    ::close(fd);
    return -1;
}

}  // namespace

std::string raw_exchange(int port, const std::string& text, const std::function<bool(const std::string&)>& complete) {
    return raw_exchange_in_pieces(port, text, text.size(), complete);
}

std::string raw_exchange_in_pieces(int port, const std::string& text, std::size_t piece,
                                   const std::function<bool(const std::string&)>& complete, std::chrono::milliseconds pause) {
    std::string received;
    const int fd = connect_to(port);
    bool open = fd >= 0;
    for (std::size_t at = 0; open && at < text.size(); at += piece) {
        if (at > 0) std::this_thread::sleep_for(pause);
        open = send_all(fd, text.substr(at, piece));
    }
    // What was refused may have been answered before all was sent.
    while (fd >= 0 && !(complete && complete(received)) && receive_some(fd, received)) continue;
    ::close(fd);
    return received;
}

std::size_t raw_read_slowly(int port, const std::string& text, std::chrono::milliseconds pause) {
    const int fd = connect_to(port);
    std::string received;
    std::size_t bytes = 0;
    if (fd >= 0 && send_all(fd, text)) {
        std::this_thread::sleep_for(pause);
        while (receive_some(fd, received)) bytes += std::exchange(received, {}).size();
    }
    ::close(fd);
    return bytes;
}

RawClient::RawClient(int port, int receive_buffer) : fd_(connect_to(port, receive_buffer)) {}

RawClient::~RawClient() { ::close(fd_); }

bool RawClient::send(const std::string& bytes) { return send_all(fd_, bytes); }

std::size_t RawClient::flood(const std::string& block, std::size_t most, std::chrono::milliseconds patience) {
    std::size_t sent = 0;
    while (sent < most) {
        pollfd writable{fd_, POLLOUT, 0};
        if (::poll(&writable, 1, static_cast<int>(patience.count())) != 1) break;
        const std::string_view rest = std::string_view(block).substr(sent % block.size());
        const ssize_t count = ::send(fd_, rest.data(), rest.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (count <= 0) break;
        sent += static_cast<std::size_t>(count);
    }
    return sent;
}

std::string RawClient::receive_all() {
    std::string received;
    while (receive_some(fd_, received)) continue;
    return received;
}

std::string RawPeer::read_request() {
    for (;;) {
        const std::size_t end = buffer_.find("\r\n\r\n");
        if (end != std::string::npos) {
            const std::size_t size = end + 4 + content_length(buffer_.substr(0, end));
            if (buffer_.size() >= size) {
                std::string request = buffer_.substr(0, size);
                buffer_.erase(0, size);
                return request;
            }
        }
        if (!receive_some(fd_, buffer_)) return {};
    }
}

bool RawPeer::read_until(const std::string& text) {
    for (;;) {
        const std::size_t found = buffer_.find(text);
        if (found != std::string::npos) {
            buffer_.erase(0, found + text.size());
            return true;
        }
        if (!receive_some(fd_, buffer_)) return false;
    }
}

bool RawPeer::send(const std::string& bytes) { return send_all(fd_, bytes); }

void RawPeer::wait_for_close() {
    std::string ignored;
    while (receive_some(fd_, ignored)) ignored.clear();
}

void RawPeer::reset() {
    const sockaddr nobody{AF_UNSPEC, {}};  // connect() to it dissolves the connection, and keeps the descriptor
    static_cast<void>(::connect(fd_, &nobody, sizeof nobody));
}

std::string RawPeer::reached_at() const {
    sockaddr_storage address{};
    socklen_t length = sizeof address;
    if (::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &length) != 0) return "";
    if (address.ss_family == AF_INET6) {
        core::IpAddress::V6 bytes{};
        std::memcpy(bytes.data(), &reinterpret_cast<const sockaddr_in6*>(&address)->sin6_addr, bytes.size());
        return core::IpAddress(bytes).text();
    }
    core::IpAddress::V4 bytes{};
    std::memcpy(bytes.data(), &reinterpret_cast<const sockaddr_in*>(&address)->sin_addr, bytes.size());
    return core::IpAddress(bytes).text();
}

RawServer::RawServer(std::function<void(RawPeer&)> serve, Listen where) : serve_(std::move(serve)) {
    const bool everywhere = where == Listen::kEverywhere;
    listener_ = ::socket(everywhere ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_storage storage{};
    socklen_t length = sizeof(sockaddr_in);
    if (everywhere) {
        const int ipv6_only = 0;
        ::setsockopt(listener_, IPPROTO_IPV6, IPV6_V6ONLY, &ipv6_only, sizeof ipv6_only);
        storage.ss_family = AF_INET6;
        length = sizeof(sockaddr_in6);
    } else {
        const sockaddr_in address = loopback(0);
        std::memcpy(&storage, &address, sizeof address);
    }
    if (::bind(listener_, reinterpret_cast<const sockaddr*>(&storage), length) != 0 || ::listen(listener_, 128) != 0 ||
        ::getsockname(listener_, reinterpret_cast<sockaddr*>(&storage), &length) != 0) {
        std::perror("raw server");
        std::abort();
    }
    port_ = ntohs(reinterpret_cast<const sockaddr_in*>(&storage)->sin_port);  // at the same place in both families
    acceptor_ = std::thread([this] { accept_all(); });
}

RawServer::~RawServer() {
    ending_ = true;
    raw_exchange(port_, "", [](const std::string&) { return true; });  // wakes accept()
    acceptor_.join();
    for (const int fd : accepted_) ::shutdown(fd, SHUT_RDWR);
    for (std::thread& thread : serving_) thread.join();
    for (const int fd : accepted_) ::close(fd);
    ::close(listener_);
}

void RawServer::accept_all() {
    for (;;) {
        const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        if (ending_) {
            if (fd >= 0) ::close(fd);
            return;
        }
        if (fd < 0) continue;
        ++connections_;
        accepted_.push_back(fd);
        serving_.emplace_back([this, fd] {
            RawPeer peer(fd);
            serve_(peer);
            ::shutdown(fd, SHUT_RDWR);
        });
    }
}

}  // namespace messaging::test
