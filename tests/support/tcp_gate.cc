// poll() over pairs of sockets.
#include "support/tcp_gate.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <utility>

namespace messaging::test {
namespace {

constexpr int kGlance = 5;  // milliseconds between looks at the mode

sockaddr_in loopback(int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    return address;
}

// Closing sends a reset, not an orderly end.
void reset(int fd) {
    const linger at_once{1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(fd);
}

}  // namespace

TcpGate::TcpGate(int server_port) : server_port_(server_port) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = loopback(0);
    socklen_t length = sizeof address;
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    if (bind(listener_, generic, length) != 0 || listen(listener_, 128) != 0 || getsockname(listener_, generic, &length) != 0) {
        std::abort();
    }
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { run(); });
}

TcpGate::~TcpGate() {
    ending_ = true;
    thread_.join();
    close(listener_);
}

void TcpGate::run() {
    while (!ending_) {
        if (cut_.exchange(false)) close_all();
        std::vector<pollfd> watched{{listener_, POLLIN, 0}};
        const bool swallow = mode_ == GateMode::kBlackHole;
        if (!swallow) {
            for (const Link& link : links_) {
                watched.push_back({link.client, POLLIN, 0});
                watched.push_back({link.server, POLLIN, 0});
            }
        }
        poll(watched.data(), watched.size(), kGlance);
        std::vector<Link> left;
        for (std::size_t i = 0; !swallow && i < links_.size(); ++i) {
            const Link& link = links_[i];
            const bool alive = (watched[1 + 2 * i].revents == 0 || forward(link.client, link.server)) &&
                               (watched[2 + 2 * i].revents == 0 || forward(link.server, link.client));
            if (alive) {
                left.push_back(link);
            } else {
                close(link.client);
                close(link.server);
            }
        }
        if (!swallow) links_ = std::move(left);
        if (watched[0].revents != 0) accept_one();
    }
    close_all();
}

void TcpGate::accept_one() {
    const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) return;
    if (mode_ == GateMode::kRefuse) {
        reset(client);
        return;
    }
    const int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in address = loopback(server_port_);
    if (connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        close(server);
        reset(client);
        return;
    }
    const int yes = 1;
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    links_.push_back({client, server});
}

// False when one end has closed.
bool TcpGate::forward(int from, int to) {
    std::array<char, 65536> buffer;
    const ssize_t got = recv(from, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    if (got == 0) return false;
    if (const auto delay = delay_.load(); delay.count() > 0) std::this_thread::sleep_for(delay);
    for (ssize_t sent = 0; sent < got;) {
        const ssize_t now = send(to, buffer.data() + sent, static_cast<std::size_t>(got - sent), MSG_NOSIGNAL);
        if (now < 0) return false;
        sent += now;
    }
    return true;
}

void TcpGate::close_all() {
    for (const Link& link : std::exchange(links_, {})) {
        reset(link.client);
        reset(link.server);
    }
}

}  // namespace messaging::test
