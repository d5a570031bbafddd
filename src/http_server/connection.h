// Connection: checks each request of one client's connection before evhttp reads it.
#pragma once

#include <event2/bufferevent.h>
#include <event2/http.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>

#include "http_server/chunks.h"
#include "http_server/server.h"
#include "loop/timer.h"

namespace messaging::http_server {

class Connection;

// Bytes that the bodies, or the unfinished heads, of all connections of a server share.
class Budget {
public:
    explicit Budget(std::size_t limit) : limit_(limit) {}
    // Where there is not enough left, others than `taker` whose bodies or heads have stalled are cut first.
    bool take(std::size_t bytes, const Connection& taker);
    void release(std::size_t bytes) { used_ -= bytes; }
    void add_arriving(Connection& connection) { arriving_.insert(&connection); }
    void remove_arriving(Connection& connection) { arriving_.erase(&connection); }

private:
    std::size_t limit_;
    std::size_t used_ = 0;
    std::unordered_set<Connection*> arriving_;
};

// Loop thread only. evhttp 2.1 asks nobody before it has read a body whole, so this watches what arrives, ahead of evhttp: a
// request with a body goes on to evhttp only when its head is well formed, its length is within the limit, and
// ServerOptions::screen lets it. Else the refusal is written, what still comes is thrown away for a moment so that the client can
// read it, and the connection is closed. A request without a body is evhttp's and the handler's to judge.
//
// A body takes nothing of the budget before it arrives, so that nobody is refused because of clients that only announce one. Its
// first ServerOptions::body_step bytes take what has arrived, the next one takes the whole length: two large bodies do not stop
// each other half way.
//
// What evhttp is given is bounded, and is what was judged:
//   - Behind a request that is being answered, evhttp's input holds at most about one head. More stays in the kernel until the
//     answer is read, so that a client that sends and does not read fills no memory here.
//   - evhttp serves a request only where it has read exactly the bytes that were judged as one request (on_request()). Everything
//     from a refused head on is thrown away before evhttp can read it.
//
// A head that comes in pieces takes bytes of a budget of its own, for the copy here, for evhttp's, and for the lines that
// evhttp makes fields of. A head that comes in one piece takes no bytes of that budget. So clients that never finish their
// heads do not keep out clients that send theirs at once.
//
// There is also a deadline for each request, from its first byte, and one for each answer: a client that sends or reads too
// slowly is disconnected.
class Connection {
public:
    // What evhttp calls when it has closed the connection, which is when this must be destroyed.
    struct OnClosed {
        void (*callback)(evhttp_connection*, void*);
        void* context;
    };
    // All outlive it. `stream` is evhttp's.
    Connection(loop::EventLoop& loop, bufferevent* stream, const ServerOptions& options, Budget& bodies, Budget& heads,
               std::uint64_t number, OnClosed on_closed);
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    std::uint64_t number() const { return number_; }  // in the order of their beginning
    // Call it once evhttp has made its connection, and before the loop waits again.
    void make_known();
    void on_input(std::size_t added);
    // evhttp has a whole request: how many headers it has, without the trailers of its body. Nothing: it is not the next one that
    // was let through, and must not be served.
    std::optional<std::size_t> on_request();
    void start_answer();
    void on_answered();
    // The answer that is written now is the last: what follows cannot be told apart.
    bool is_last() const { return state_ == State::kLast && under_way_ == 1; }
    // Cuts the connection and gives back what it has reserved, where for ServerOptions::body_step_timeout its body has not grown
    // by a step, or its head has not ended.
    void cut_if_stalled(core::MonoTime now);
    // Cuts the connection where no request is under way. False: there is one, or the connection is cut already.
    bool cut_if_idle();

private:
    enum class State {
        kHead,       // of the next request
        kBody,       // body_left_ bytes of it
        kChunks,     // a body whose length is not known
        kLast,       // nothing that comes is looked at; closed after the answers of what was let through
        kRefusing,   // the refusal is being written
        kLingering,  // what comes is thrown away
        kOver,       // evhttp is told that the client has gone
    };
    struct Passed {
        std::uint64_t end = 0;  // in bytes since the connection began
        std::size_t header_count = 0;
    };
    static void on_refusal_written(bufferevent* stream, void* self) noexcept;
    static void on_end(bufferevent* stream, short events, void* self) noexcept;
    void start_deadline(std::chrono::milliseconds time);
    // Each answers how many bytes of `text`, which has just arrived and is not empty, it has dealt with.
    std::size_t read_head(std::string_view text);
    std::size_t read_body(std::size_t arrived);
    std::size_t read_chunks(std::string_view text);
    void judge(std::string_view text);
    // head_ has grown: it takes bytes of heads_, or is refused.
    void keep_head();
    std::string take_head();
    // A part of the body has come. False: it was refused.
    bool reserve_body(std::size_t arrived, std::size_t whole);
    void end_body(State next);
    void let_through() { passed_.push_back({position_, header_count_}); }
    bool is_in_body() const { return state_ == State::kBody || state_ == State::kChunks; }
    bool is_judging() const { return state_ == State::kHead || is_in_body(); }
    // Requests that are whole and not answered.
    int unanswered() const { return under_way_ - (is_in_body() ? 1 : 0); }
    // Nothing in evhttp's input, now or later, may be read by evhttp.
    bool is_throwing_away() const;
    void throw_away();
    // How much evhttp's input may hold; 0 = no limit.
    std::size_t input_bound() const;
    void bound_input();
    void refuse(const http::Response& response);
    void linger();
    void cut();

    loop::EventLoop& loop_;
    bufferevent* stream_;
    const ServerOptions& options_;
    Budget& bodies_;
    Budget& heads_;
    const std::uint64_t number_;
    OnClosed on_closed_;
    bool is_known_ = false;  // evhttp will call on_closed_
    std::unique_ptr<loop::Timer> deadline_;
    State state_ = State::kHead;
    std::string head_;               // so far
    std::size_t head_lines_ = 0;     // of it
    std::size_t head_reserved_ = 0;  // of heads_
    std::uint64_t received_ = 0;     // bytes since the connection began
    std::uint64_t position_ = 0;     // of them, those that have been judged
    std::size_t header_count_ = 0;   // of the request that is judged
    std::deque<Passed> passed_;      // what evhttp may serve, and has not read
    std::size_t bound_ = 0;          // of evhttp's input, as set
    bool is_taken_ = false;          // the stream's callbacks are ours
    std::size_t body_left_ = 0;
    std::size_t body_bytes_ = 0;     // announced
    std::size_t body_arrived_ = 0;   // of it
    std::size_t body_reserved_ = 0;  // of reserved_, for it
    std::size_t step_left_ = 0;
    core::MonoTime stepped_at_{};
    std::optional<ChunkReader> chunks_;
    std::size_t reserved_ = 0;  // of bodies_, for requests that are not answered
    std::size_t thrown_away_ = 0;
    int under_way_ = 0;  // requests that evhttp was given, and whose answers are not written
    bufferevent_data_cb evhttp_on_read_ = nullptr;
    bufferevent_data_cb evhttp_on_write_ = nullptr;
    bufferevent_event_cb evhttp_on_event_ = nullptr;
    void* evhttp_context_ = nullptr;
};

}  // namespace messaging::http_server
