// Namespaces of Linux: see unshare(2), network_namespaces(7) and netdevice(7).
#include "support/private_network.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <linux/ipv6.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace messaging::test {
namespace {

constexpr const char* kLoopback = "lo";

bool write_file(const char* path, const std::string& text) {
    return static_cast<bool>(std::ofstream(path) << text << std::flush);
}

// Who is not root gets the rights of root in a user namespace, and keeps the own id there.
bool enter_namespaces() {
    constexpr int kWanted = CLONE_NEWNET | CLONE_NEWNS;
    const std::string user = std::to_string(geteuid());
    const std::string group = std::to_string(getegid());
    if (geteuid() == 0) return unshare(kWanted) == 0;
    return unshare(kWanted | CLONE_NEWUSER) == 0 && write_file("/proc/self/setgroups", "deny") &&
           write_file("/proc/self/uid_map", user + " " + user + " 1") &&
           write_file("/proc/self/gid_map", group + " " + group + " 1");
}

// One request to the kernel about a network interface.
bool ask_kernel(int family, unsigned long request, void* argument) {
    const int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const bool done = fd >= 0 && ioctl(fd, request, argument) == 0;
    const int error = errno;
    if (fd >= 0) close(fd);
    errno = error;
    return done;
}

ifreq interface(const std::string& name) {
    ifreq request{};
    name.copy(request.ifr_name, sizeof request.ifr_name - 1);
    return request;
}

bool bring_up_loopback() {
    ifreq request = interface(kLoopback);
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    return ask_kernel(AF_INET, SIOCSIFFLAGS, &request);
}

// The place of `label` is one of the names that an interface has for its further addresses: lo:1, lo:2 …
bool add_ipv4(const std::string& label, const std::string& address) {
    sockaddr_in wanted{};
    wanted.sin_family = AF_INET;
    if (inet_pton(AF_INET, address.c_str(), &wanted.sin_addr) != 1) return false;
    ifreq request = interface(label);
    std::memcpy(&request.ifr_addr, &wanted, sizeof wanted);
    return ask_kernel(AF_INET, SIOCSIFADDR, &request);
}

bool add_ipv6(const std::string& address) {
    in6_ifreq request{};
    request.ifr6_ifindex = static_cast<int>(if_nametoindex(kLoopback));
    request.ifr6_prefixlen = 128;
    return inet_pton(AF_INET6, address.c_str(), &request.ifr6_addr) == 1 && ask_kernel(AF_INET6, SIOCSIFADDR, &request);
}

}  // namespace

// The mounts must not reach the file systems of others. Everybody may listen at port 53.
PrivateNetwork::PrivateNetwork() {
    const bool entered = enter_namespaces() && mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                         bring_up_loopback() && write_file("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0") &&
                         show("nameserver 127.0.0.1\n", "/etc/resolv.conf") && show("hosts: files dns\n", "/etc/nsswitch.conf");
    if (!entered) why_not_ = std::string("no network of its own can be made here: ") + std::strerror(errno);
}

// Processes in there find the text at `path`, which must exist.
bool PrivateNetwork::show(const std::string& text, const std::string& path) const {
    const std::string file = directory_.path() + "/" + std::filesystem::path(path).filename().string();
    return write_file(file.c_str(), text) && mount(file.c_str(), path.c_str(), nullptr, MS_BIND, nullptr) == 0;
}

void PrivateNetwork::add_address(const std::string& address) {
    const bool is_ipv6 = address.find(':') != std::string::npos;
    const std::string label = std::string(kLoopback) + ":" + std::to_string(++addresses_);
    EXPECT_TRUE(is_ipv6 ? add_ipv6(address) : add_ipv4(label, address)) << address << ": " << std::strerror(errno);
}

}  // namespace messaging::test
