// Server: evhttp on a loop, handing whole requests to one handler and taking each answer through a Responder.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "core/result.h"
#include "http/message.h"
#include "loop/event_loop.h"

namespace messaging::http_server {

// The right and the duty to answer one request, once. Move-only; loop thread only. Dropped without an answer it sends
// what ServerOptions::default_response returns for 500. Answering after the client has gone is harmless.
class Responder {
public:
    Responder() = default;
    Responder(Responder&&) noexcept;
    Responder& operator=(Responder&&) noexcept;
    Responder(const Responder&) = delete;
    Responder& operator=(const Responder&) = delete;
    ~Responder();

    void send(const http::Response& response);
    // Closes the connection without an answer, as a receiver that breaks does. Counts as the answer.
    void abort();
    // There is no answer yet, and the server still takes one.
    bool pending() const;
    // Called once with the status, when the answer is given.
    void on_sent(std::function<void(int status)> callback);

    struct State;
    explicit Responder(std::shared_ptr<State> state) : state_(std::move(state)) {}

private:
    std::shared_ptr<State> state_;
};

using RequestHandler = std::function<void(http::Request, Responder)>;

struct ServerOptions {
    std::string address = "127.0.0.1";
    int port = 8080;  // 0 = any free port, see Server::port()
    std::size_t max_body_bytes = 5u << 20;
    std::size_t max_header_bytes = 16u << 10;
    std::chrono::seconds idle_timeout{30};
    // With `screen`: no body is read before its request may be made, and slow clients have a deadline (http_server/connection.h).
    std::size_t max_bodies_bytes = 16u << 20;  // of all requests under way; beyond, 503
    std::size_t max_heads_bytes = 4u << 20;    // of all heads that come in pieces; beyond, 503
    std::size_t max_connections = 8192;        // for one more, the oldest one on which no request is under way is cut
    // A body that has grown by less than body_step within body_step_timeout, and a head that is not whole after that time, is cut
    // when another one needs the capacity.
    std::size_t body_step = 64u << 10;
    std::chrono::milliseconds body_step_timeout{1000};
    std::chrono::milliseconds request_timeout{30000};  // from a request's first byte to its last
    // Asked when the head of a request with a body is in: the answer that refuses it unread, or nothing.
    std::function<std::optional<http::Response>(const http::Request&)> screen;
    std::size_t max_unwritten_bytes = 32u << 20;      // of all answers; beyond, a large one becomes a 503
    std::chrono::milliseconds answer_timeout{60000};  // from an answer's first byte to its last
    // The answer where no handler gives one, in the caller's own shape; an empty one when not set. 413: the body is over
    // max_body_bytes; 500: the Responder was dropped; 503: too much is under way; others: what came is no HTTP request, and `why`
    // says more where it is known.
    std::function<http::Response(int status, const std::string& why)> default_response;
    // Whenever it begins a pause in which no new connection is taken.
    std::function<void()> on_pause;
};

// Loop thread only. It takes no new connection while three quarters of the process's descriptors are in use: whoever opens
// connections without end must not take them from others in the process. Clients that wait are accepted as soon as descriptors
// are free.
class Server {
public:
    // kUnavailable when the address cannot be bound; the message names address, port and reason.
    static core::Result<std::unique_ptr<Server>> listen(loop::EventLoop& loop, ServerOptions options, RequestHandler handler);
    // Clean when pending_responses() == 0. Otherwise each request without an answer gets the default response 500, whose
    // connection is closed before the client may have it.
    ~Server();
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    int port() const;
    std::size_t pending_responses() const;  // requests not yet answered, and answers not yet written to the client
    void stop_accepting();                  // closes the listening socket; open requests may still be answered

private:
    struct Impl;
    explicit Server(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace messaging::http_server
