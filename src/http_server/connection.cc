// Watching what arrives, and taking the connection from evhttp where a request is refused.
#include "http_server/connection.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "http_server/error_pages.h"
#include "http_server/request_head.h"

namespace messaging::http_server {
namespace {

constexpr std::chrono::milliseconds kLinger{2000};
constexpr std::size_t kMaxThrownAway = 64u << 20;

}  // namespace

bool Budget::take(std::size_t bytes, const Connection& taker) {
    if (bytes > limit_ - used_) {
        const core::MonoTime now = loop::EventLoop::now();
        for (Connection* const connection : std::unordered_set(arriving_)) {
            if (connection != &taker) connection->cut_if_stalled(now);
        }
    }
    if (bytes > limit_ - used_) return false;
    used_ += bytes;
    return true;
}

Connection::Connection(loop::EventLoop& loop, bufferevent* stream, const ServerOptions& options, Budget& bodies,
                       OnClosed on_closed)
    : loop_(loop), stream_(stream), options_(options), bodies_(bodies), on_closed_(on_closed) {}

Connection::~Connection() {
    bodies_.remove_arriving(*this);
    bodies_.give_back(reserved_);
}

// The context of evhttp's callbacks is its connection, which it made after the stream.
void Connection::make_known() {
    if (std::exchange(is_known_, true)) return;
    bufferevent_getcb(stream_, &evhttp_on_read_, &evhttp_on_write_, &evhttp_on_event_, &evhttp_context_);
    evhttp_connection_set_closecb(static_cast<evhttp_connection*>(evhttp_context_), on_closed_.callback, on_closed_.context);
}

void Connection::on_input(std::size_t added) {
    make_known();
    std::size_t at = evbuffer_get_length(bufferevent_get_input(stream_)) - added;
    while (added > 0) {
        std::size_t used = 0;
        switch (state_) {
            case State::kHead: used = read_head(at, added); break;
            case State::kBody: used = read_body(added); break;
            case State::kChunks: used = read_chunks(at, added); break;
            default: return;
        }
        at += used;
        added -= used;
    }
}

std::size_t Connection::read_head(std::size_t at, std::size_t added) {
    evbuffer* const input = bufferevent_get_input(stream_);
    const std::size_t before = head_.size();
    std::size_t used = std::min(added, options_.max_header_bytes + 1 - before);
    head_.resize(before + used);
    evbuffer_ptr from{};
    evbuffer_ptr_set(input, &from, at, EVBUFFER_PTR_SET);
    evbuffer_copyout_from(input, &from, head_.data() + before, used);
    if (before == 0 && under_way_ == 0) start_deadline(options_.request_timeout);
    const std::size_t end = find_head_end(head_, before > 2 ? before - 2 : 0);
    if (end == 0) {
        if (head_.size() > options_.max_header_bytes) refuse(options_.default_response(400, "the headers are too long"));
        return used;
    }
    used = end - before;
    head_.resize(end);
    judge(std::exchange(head_, {}));
    return used;
}

std::size_t Connection::read_body(std::size_t added) {
    const std::size_t used = std::min(added, body_left_);
    body_left_ -= used;
    if (take_room(used, body_bytes_) && body_left_ == 0) end_body(State::kHead);
    return used;
}

std::size_t Connection::read_chunks(std::size_t at, std::size_t added) {
    evbuffer* const input = bufferevent_get_input(stream_);
    evbuffer_ptr from{};
    evbuffer_ptr_set(input, &from, at, EVBUFFER_PTR_SET);
    evbuffer_iovec extent{};
    if (evbuffer_peek(input, static_cast<ev_ssize_t>(added), &from, &extent, 1) < 1) return added;
    const std::size_t used = std::min(added, extent.iov_len);
    const auto read = chunks_->read({static_cast<const char*>(extent.iov_base), used});
    if (read == ChunkReader::State::kWrong) {
        refuse(options_.default_response(
            400, "a chunk must be its size in hexadecimal digits, CR LF, the data, CR LF, without extensions"));
    } else if (chunks_->data_bytes() > options_.max_body_bytes) {
        refuse(options_.default_response(413, ""));
    } else if (take_room(used, options_.max_body_bytes) && read == ChunkReader::State::kDone) {
        end_body(State::kLast);
    }
    return used;
}

bool Connection::take_room(std::size_t arrived, std::size_t whole) {
    body_arrived_ += arrived;
    if (arrived >= step_left_) {
        step_left_ = options_.body_step;
        stepped_at_ = loop::EventLoop::now();
    } else {
        step_left_ -= arrived;
    }
    const std::size_t wanted = body_arrived_ <= options_.body_step ? std::min(body_arrived_, whole) : whole;
    if (wanted <= body_reserved_) return true;
    const std::size_t more = wanted - body_reserved_;
    if (!bodies_.take(more, *this)) {
        refuse(options_.default_response(503, ""));
        return false;
    }
    body_reserved_ += more;
    reserved_ += more;
    return true;
}

// What it has reserved stays until it is answered.
void Connection::end_body(State next) {
    bodies_.remove_arriving(*this);
    const std::size_t unused = body_reserved_ - std::min(body_reserved_, body_arrived_);
    bodies_.give_back(unused);
    reserved_ -= unused;
    state_ = next;
}

void Connection::cut_if_stalled(core::MonoTime now) {
    if (body_reserved_ == 0 || now - stepped_at_ < options_.body_step_timeout) return;
    end_body(State::kOver);
    cut();
}

void Connection::start_deadline(std::chrono::milliseconds time) {
    if (!deadline_) deadline_ = loop_.make_timer([this] { cut(); });
    deadline_->start(time);
}

void Connection::judge(const std::string& text) {
    const auto head = parse_head(text);
    if (!head) return refuse(options_.default_response(400, head.error().message));
    state_ = State::kHead;
    if (head->has_body()) {
        if (const auto refusal = options_.screen(head->request)) return refuse(*refusal);
        if (head->content_length > options_.max_body_bytes) return refuse(options_.default_response(413, ""));
        state_ = head->chunked ? State::kChunks : State::kBody;
        if (head->chunked) chunks_.emplace();
        body_bytes_ = body_left_ = head->content_length;
        body_arrived_ = body_reserved_ = 0;
        step_left_ = options_.body_step;
        stepped_at_ = loop::EventLoop::now();
        bodies_.add_arriving(*this);
    }
    ++under_way_;
}

void Connection::on_request() {
    if (deadline_) deadline_->stop();
}

void Connection::start_answer() { start_deadline(options_.answer_timeout); }

void Connection::on_answered() {
    deadline_->stop();
    under_way_ = std::max(0, under_way_ - 1);
    if (under_way_ > 0) return;
    bodies_.give_back(std::exchange(reserved_, 0));
    if (state_ == State::kLast) {
        cut();
    } else if (!head_.empty() || state_ == State::kBody || state_ == State::kChunks) {
        start_deadline(options_.request_timeout);
    }
}

// evhttp sees the end, as if the client had gone, and frees everything.
void Connection::cut() {
    if (state_ == State::kRefusing || state_ == State::kLingering) return release();
    ::shutdown(bufferevent_getfd(stream_), SHUT_RDWR);
}

void Connection::refuse(const http::Response& response) {
    head_.clear();
    const bool in_body = state_ == State::kBody || state_ == State::kChunks;
    if (in_body) end_body(state_);
    if (under_way_ > (in_body ? 1 : 0)) {  // answers of requests before this one come first; then the connection ends
        state_ = in_body ? State::kOver : State::kLast;
        if (in_body) cut();
        return;
    }
    state_ = State::kRefusing;
    bufferevent_setcb(stream_, &Connection::on_lingering_input, &Connection::on_refusal_written, &Connection::on_end, this);
    const std::string answer = as_text(response);
    bufferevent_enable(stream_, EV_WRITE);
    evbuffer_add(bufferevent_get_output(stream_), answer.data(), answer.size());
    start_deadline(kLinger);
}

void Connection::on_lingering_input(bufferevent* stream, void* self) noexcept {
    auto& connection = *static_cast<Connection*>(self);
    evbuffer* const input = bufferevent_get_input(stream);
    connection.thrown_away_ += evbuffer_get_length(input);
    evbuffer_drain(input, evbuffer_get_length(input));
    if (connection.thrown_away_ > kMaxThrownAway) connection.release();
}

void Connection::on_refusal_written(bufferevent* stream, void* self) noexcept {
    auto& connection = *static_cast<Connection*>(self);
    if (connection.state_ != State::kRefusing || evbuffer_get_length(bufferevent_get_output(stream)) > 0) return;
    connection.state_ = State::kLingering;
    ::shutdown(bufferevent_getfd(stream), SHUT_WR);
}

void Connection::on_end(bufferevent*, short, void* self) noexcept { static_cast<Connection*>(self)->release(); }

void Connection::release() {
    state_ = State::kOver;
    deadline_->stop();
    bufferevent_setcb(stream_, evhttp_on_read_, evhttp_on_write_, evhttp_on_event_, evhttp_context_);
    ::shutdown(bufferevent_getfd(stream_), SHUT_RDWR);
    evbuffer_drain(bufferevent_get_input(stream_), evbuffer_get_length(bufferevent_get_input(stream_)));
    // In its own turn of the loop: this may run inside a callback of the stream.
    bufferevent_trigger_event(stream_, BEV_EVENT_READING | BEV_EVENT_EOF, BEV_TRIG_DEFER_CALLBACKS);
}

}  // namespace messaging::http_server
