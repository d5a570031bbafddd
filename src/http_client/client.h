// Client: curl multi on a loop; POSTs with keep-alive, deadlines and byte caps.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "core/address_policy.h"
#include "core/attempt.h"
#include "http/message.h"
#include "loop/event_loop.h"

namespace messaging::http_client {

// For each request curl searches all connections of a multi handle for a free one: with 5,000 in one handle the search alone
// took 190 us.
inline constexpr std::size_t kRequestsOfAMulti = 128;

// Idle connections that a multi handle keeps, and those in use. With fewer than are in flight, connections would be closed and
// opened again.
inline constexpr std::size_t kConnectionsOfAMulti = 2 * kRequestsOfAMulti;
inline std::size_t multis_for(std::size_t max_in_flight) { return max_in_flight / kRequestsOfAMulti + 1; }

struct ClientOptions {
    std::size_t max_in_flight = 256;  // sets the number of multi handles; the caller starts no more requests than that
    std::size_t connections_of_a_multi = kConnectionsOfAMulti;  // fewer where the process has few descriptors
    std::chrono::milliseconds connect_timeout{5000};
    std::size_t max_response_bytes = 64u << 10;  // of a body are kept; what comes after is counted and dropped
    std::size_t max_received_bytes = 1u << 20;   // of a body: reading stops, the status still decides
    std::string user_agent = "messaging-system";
    std::string ca_file;            // PEM: authorities to trust besides the system's; empty = only the system's
    bool http2 = false;             // over TLS, where the receiver offers it (ALPN, RFC 7301)
    core::AddressPolicy addresses;  // of guarded requests
};

struct PostRequest {
    std::string url;
    http::Headers headers;  // no CR, LF or NUL: checked, AttemptFault::kInvalidRequest
    std::string body;
    std::chrono::milliseconds timeout{10000};  // the whole request, connecting included
    bool guarded = true;  // connects only to what ClientOptions::addresses permits; false only where the operator chose the URL
};

struct PostResult {
    core::AttemptFault fault = core::AttemptFault::kNone;
    std::string fault_detail;  // readable; empty when kNone
    int status = 0;
    std::string body;             // at most max_response_bytes
    bool body_truncated = false;  // cut by our limits, by the deadline or by the receiver
    std::string retry_after;      // the header's value, empty when absent
    std::string date;             // the header's value, empty when absent, and for a status below 300
    std::chrono::microseconds duration{0};
    int connections = 0;  // opened for it; 0 = it used a kept one
    int repeats = 0;      // libcurl sends a request again, on another connection, when a kept one ends before the answer
};

// Loop thread only. Redirects are not followed; proxies of the environment are not used; http and https only.
class Client {
public:
    using Completion = std::function<void(PostResult)>;

    Client(loop::EventLoop& loop, ClientOptions options);
    ~Client();  // drops every pending completion
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    // Completes once, later, never inside this call.
    void start_post(PostRequest request, Completion done);
    std::size_t in_flight() const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace messaging::http_client
