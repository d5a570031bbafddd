// TcpGate: a TCP connection's bad luck: between a client and a server on loopback, it passes, swallows, refuses or cuts.
#pragma once

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace messaging::test {

enum class GateMode {
    kPass,
    kBlackHole,  // connections are accepted and stay open; nothing comes through, and no end is told
    kRefuse,     // new connections are reset at once
};

// All calls from any thread. The forwarding runs on a thread of its own.
class TcpGate {
public:
    explicit TcpGate(int server_port);
    ~TcpGate();  // cuts every connection
    TcpGate(const TcpGate&) = delete;
    TcpGate& operator=(const TcpGate&) = delete;

    int port() const { return port_; }
    void set_mode(GateMode mode) { mode_ = mode; }
    // Resets every connection that is open now.
    void cut() { cut_ = true; }
    // Each piece of data waits for so long.
    void set_delay(std::chrono::milliseconds delay) { delay_ = delay; }

private:
    struct Link {
        int client = -1;
        int server = -1;
    };
    void run();
    void accept_one();
    bool forward(int from, int to);
    void close_all();

    const int server_port_;
    int listener_ = -1;
    int port_ = 0;
    std::atomic<GateMode> mode_{GateMode::kPass};
    std::atomic<std::chrono::milliseconds> delay_{std::chrono::milliseconds(0)};
    std::atomic<bool> cut_{false};
    std::atomic<bool> ending_{false};
    std::vector<Link> links_;  // of thread_
    std::thread thread_;
};

}  // namespace messaging::test
