// A loop around poll().
#include "soak/raw_receiver.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <utility>
#include <vector>

namespace messaging::test {
namespace {

constexpr std::size_t kBlockBytes = 16'000;

std::string repeated(std::string first, const std::string& then) {
    while (first.size() < kBlockBytes) first += then;
    return first;
}

// The value of a header of the request; the service writes names in lower case or not.
std::string header_of(const std::string& head, const std::string& name) {
    std::string lower = head;
    std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    const std::size_t at = lower.find("\r\n" + name + ":");
    if (at == std::string::npos) return "";
    const std::size_t begin = head.find_first_not_of(' ', at + name.size() + 3);
    return head.substr(begin, head.find("\r\n", begin) - begin);
}

}  // namespace

RawReceiver::RawReceiver(Acceptances& acceptances) : acceptances_(acceptances) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    if (::bind(listener_, reinterpret_cast<const sockaddr*>(&address), length) != 0 || ::listen(listener_, 1024) != 0 ||
        ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
        std::perror("raw receiver");
        std::abort();
    }
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { run(); });
}

RawReceiver::~RawReceiver() {
    ending_ = true;
    thread_.join();
    for (const auto& [fd, connection] : connections_) ::close(fd);
    ::close(listener_);
}

void RawReceiver::run() {
    while (!ending_) {
        std::vector<pollfd> watched{{listener_, POLLIN, 0}};
        for (const auto& [fd, connection] : connections_) {
            watched.push_back({fd, static_cast<short>(connection.endless.empty() ? POLLIN : POLLIN | POLLOUT), 0});
        }
        if (::poll(watched.data(), watched.size(), 100) <= 0) continue;
        for (const pollfd& one : watched) {
            if (one.revents == 0) continue;
            if (one.fd == listener_) {
                const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
                if (fd >= 0) connections_[fd] = {};
                continue;
            }
            Connection& connection = connections_[one.fd];
            const bool goes_on = ((one.revents & POLLOUT) == 0 || write(one.fd, connection)) &&
                                 ((one.revents & ~POLLOUT) == 0 || read(one.fd, connection));
            if (!goes_on) close(one.fd, connection.resets);
        }
    }
}

bool RawReceiver::read(int fd, Connection& connection) {
    std::array<char, 16'384> buffer{};
    const ssize_t got = ::recv(fd, buffer.data(), buffer.size(), 0);
    if (got <= 0) return false;
    connection.received.append(buffer.data(), static_cast<std::size_t>(got));
    const std::size_t head = connection.received.find("\r\n\r\n");
    if (head == std::string::npos || !connection.endless.empty()) return true;
    const std::size_t length =
        std::strtoul(header_of(connection.received.substr(0, head + 2), "content-length").c_str(), nullptr, 10);
    if (connection.received.size() < head + 4 + length) return true;
    ++requests_;
    return answer(fd, connection);
}

bool RawReceiver::answer(int fd, Connection& connection) {
    const std::string request = std::exchange(connection.received, {});
    const std::size_t body = request.find("\r\n\r\n") + 4;
    const std::string path = request.substr(request.find(' ') + 1);
    if (path.starts_with("/hang")) return true;
    connection.resets = path.starts_with("/reset");
    if (connection.resets) return false;
    if (path.starts_with("/garbage")) {
        static_cast<void>(::send(fd, "SSH-2.0-OpenSSH_9.2\r\n", 21, MSG_NOSIGNAL));
        return false;
    }
    acceptances_.add(header_of(request.substr(0, body), "webhook-id"), request.substr(body));
    const std::string first =
        path.starts_with("/huge") ? "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" : "HTTP/1.1 200 OK\r\n";
    connection.endless = path.starts_with("/huge") ? repeated("", "4\r\nword\r\n") : repeated("", "X-Flood: 0123456789\r\n");
    return ::send(fd, first.data(), first.size(), MSG_NOSIGNAL) > 0;
}

bool RawReceiver::write(int fd, Connection& connection) {
    const std::string& block = connection.endless;
    const ssize_t sent = ::send(fd, block.data() + connection.sent, block.size() - connection.sent, MSG_NOSIGNAL);
    if (sent > 0) connection.sent = (connection.sent + static_cast<std::size_t>(sent)) % block.size();
    return sent >= 0 || errno == EAGAIN;
}

void RawReceiver::close(int fd, bool reset) {
    const linger at_once{1, 0};
    if (reset) ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    ::close(fd);
    connections_.erase(fd);
}

}  // namespace messaging::test
