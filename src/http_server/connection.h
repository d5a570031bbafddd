// Connection: stands before evhttp on one client's connection, and judges each request when its head is in.
#pragma once

#include <event2/bufferevent.h>
#include <event2/http.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "http_server/server.h"
#include "loop/timer.h"

namespace messaging::http_server {

// Bytes that all connections of a server share.
class Budget {
public:
    explicit Budget(std::size_t limit) : limit_(limit) {}
    bool take(std::size_t bytes) {
        if (bytes > limit_ - used_) return false;
        used_ += bytes;
        return true;
    }
    void give_back(std::size_t bytes) { used_ -= bytes; }

private:
    std::size_t limit_;
    std::size_t used_ = 0;
};

// Loop thread only. evhttp 2.1 asks nobody before it has read a body whole, so this watches what arrives, ahead of evhttp: a
// request with a body goes on to evhttp only when its head is well formed, its length is within the limit and the budget, and
// ServerOptions::screen lets it. Else the refusal is written, what still comes is thrown away for a moment so that the client can
// read it, and the connection is closed. A request without a body is evhttp's and the handler's to judge.
//
// Also a deadline for each request, from its first byte, and one for each answer: who drips or does not read is closed.
class Connection {
public:
    // What evhttp calls when it has closed the connection, which is when this must be destroyed.
    struct OnClosed {
        void (*callback)(evhttp_connection*, void*);
        void* context;
    };
    // All outlive it. `stream` is evhttp's.
    Connection(loop::EventLoop& loop, bufferevent* stream, const ServerOptions& options, Budget& bodies, OnClosed on_closed);
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    void on_input(std::size_t added);
    // evhttp has the whole request.
    void on_request();
    void start_answer();
    void on_answered();
    // The answer that is written now is the last: what follows cannot be told apart.
    bool is_last() const { return state_ == State::kLast; }

private:
    enum class State {
        kHead,       // of the next request
        kBody,       // body_left_ bytes of it
        kLast,       // nothing that comes is looked at; closed after the answer
        kRefusing,   // the refusal is being written
        kLingering,  // what comes is thrown away
        kOver,       // evhttp is told that the client has gone
    };
    static void on_lingering_input(bufferevent* stream, void* self) noexcept;
    static void on_refusal_written(bufferevent* stream, void* self) noexcept;
    static void on_end(bufferevent* stream, short events, void* self) noexcept;
    void make_known();
    void start_deadline(std::chrono::milliseconds time);
    void judge(const std::string& text);
    void refuse(const http::Response& response);
    void cut();
    void release();

    loop::EventLoop& loop_;
    bufferevent* stream_;
    const ServerOptions& options_;
    Budget& bodies_;
    OnClosed on_closed_;
    bool is_known_ = false;  // evhttp will call on_closed_
    std::unique_ptr<loop::Timer> deadline_;
    State state_ = State::kHead;
    std::string head_;  // so far
    std::size_t body_left_ = 0;
    std::size_t reserved_ = 0;  // of bodies_, for requests that are not answered
    std::size_t thrown_away_ = 0;
    int under_way_ = 0;  // requests that evhttp was given, and whose answers are not written
    bufferevent_data_cb evhttp_on_read_ = nullptr;
    bufferevent_data_cb evhttp_on_write_ = nullptr;
    bufferevent_event_cb evhttp_on_event_ = nullptr;
    void* evhttp_context_ = nullptr;
};

}  // namespace messaging::http_server
