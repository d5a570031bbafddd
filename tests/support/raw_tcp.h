// Plain TCP on loopback, for requests and answers that no HTTP library would write.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace messaging::test {

// Connects to 127.0.0.1:`port`, sends `text` and returns all that comes until the server closes or `complete` says enough.
std::string raw_exchange(int port, const std::string& text, const std::function<bool(const std::string&)>& complete = {});

// The same, `piece` bytes at a time, with a pause between them.
std::string raw_exchange_in_pieces(int port, const std::string& text, std::size_t piece,
                                   const std::function<bool(const std::string&)>& complete = {},
                                   std::chrono::milliseconds pause = std::chrono::milliseconds(0));
// Sends `text`, reads nothing for so long, and answers how many bytes came until the server closed.
std::size_t raw_read_slowly(int port, const std::string& text, std::chrono::milliseconds pause);

// One connection to 127.0.0.1:`port`. With `receive_buffer` bytes, what its owner does not read stays with the server soon.
class RawClient {
public:
    explicit RawClient(int port, int receive_buffer = 0);
    ~RawClient();
    RawClient(const RawClient&) = delete;
    RawClient& operator=(const RawClient&) = delete;

    bool send(const std::string& bytes);  // false when the server has closed
    // Sends `block` again and again, until `most` bytes are sent, the server has closed, or nothing could be sent for `patience`.
    // Answers how many bytes were sent.
    std::size_t flood(const std::string& block, std::size_t most, std::chrono::milliseconds patience);
    std::string receive_all();  // all that comes until the server closes

private:
    int fd_;
};

// One connection of a RawServer.
class RawPeer {
public:
    explicit RawPeer(int fd) : fd_(fd) {}
    // The next whole request (headers and Content-Length bytes); empty when the client has gone.
    std::string read_request();
    bool read_until(const std::string& text);  // reads and drops all up to it; false when the client has gone
    bool send(const std::string& bytes);       // false when the client has gone
    void wait_for_close();
    int fd() const { return fd_; }
    std::string reached_at() const;  // the address of this side that the client has connected to
    void reset();                    // the client gets a reset, not an orderly end; nothing can be sent after it

private:
    int fd_;
    std::string buffer_;
};

enum class Listen { kLoopback, kEverywhere };

// Accepts on 127.0.0.1, or on every address of this machine, and runs `serve` on a thread for each connection; the connection
// closes when it returns.
class RawServer {
public:
    explicit RawServer(std::function<void(RawPeer&)> serve, Listen where = Listen::kLoopback);
    ~RawServer();  // cuts every connection
    RawServer(const RawServer&) = delete;
    RawServer& operator=(const RawServer&) = delete;

    std::string url() const { return "http://127.0.0.1:" + std::to_string(port_) + "/"; }
    int port() const { return port_; }
    std::size_t connections() const { return connections_; }

private:
    void accept_all();

    std::function<void(RawPeer&)> serve_;
    int listener_ = -1;
    int port_ = 0;
    std::atomic<bool> ending_{false};
    std::atomic<std::size_t> connections_{0};
    std::vector<int> accepted_;         // of acceptor_; closed at the end, so that no number is used twice
    std::vector<std::thread> serving_;  // of acceptor_
    std::thread acceptor_;
};

}  // namespace messaging::test
