// Reads what arrives, and takes the connection from evhttp when a request is refused.
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
constexpr std::size_t kUnbounded = 0;           // as libevent takes it
constexpr std::size_t kChunkLines = 16u << 10;  // beside the data of a chunk
constexpr std::size_t kMaxHeadLines = 200;
constexpr std::size_t kHeadCopies = 2;      // ours and evhttp's
constexpr std::size_t kLineOverhead = 128;  // bytes of evhttp's for a field, beside its text

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

Connection::Connection(loop::EventLoop& loop, bufferevent* stream, const ServerOptions& options, Budget& bodies, Budget& heads,
                       std::uint64_t number, OnClosed on_closed)
    : loop_(loop), stream_(stream), options_(options), bodies_(bodies), heads_(heads), number_(number), on_closed_(on_closed) {
    bound_input();
}

Connection::~Connection() {
    bodies_.remove_arriving(*this);
    bodies_.release(reserved_);
    take_head();
}

// The context of evhttp's callbacks is its connection, which it made after the stream.
void Connection::make_known() {
    if (std::exchange(is_known_, true)) return;
    bufferevent_getcb(stream_, &evhttp_on_read_, &evhttp_on_write_, &evhttp_on_event_, &evhttp_context_);
    evhttp_connection_set_closecb(static_cast<evhttp_connection*>(evhttp_context_), on_closed_.callback, on_closed_.context);
}

void Connection::on_input(std::size_t added) {
    make_known();
    received_ += added;
    if (is_judging()) {
        evbuffer* const input = bufferevent_get_input(stream_);
        evbuffer_ptr from{};
        evbuffer_ptr_set(input, &from, evbuffer_get_length(input) - added, EVBUFFER_PTR_SET);
        std::string arrived(added, '\0');
        evbuffer_copyout_from(input, &from, arrived.data(), added);
        position_ = received_ - added;
        for (std::string_view text = arrived; !text.empty() && is_judging();) {
            switch (state_) {
                case State::kHead: text.remove_prefix(read_head(text)); break;
                case State::kBody: text.remove_prefix(read_body(text.size())); break;
                default: text.remove_prefix(read_chunks(text)); break;
            }
        }
    }
    if (is_throwing_away()) throw_away();
    bound_input();
}

// Many heads may arrive at once. Only one that comes in pieces is kept, so that each byte is looked at once.
std::size_t Connection::read_head(std::string_view text) {
    const std::size_t before = head_.size();
    if (before == 0 && under_way_ == 0) start_deadline(options_.request_timeout);
    if (before > 0) head_ += text;
    const std::string_view so_far = before > 0 ? head_ : text;
    const std::size_t end = find_head_end(so_far, before > 2 ? before - 2 : 0);
    if ((end == 0 ? so_far.size() : end) > options_.max_header_bytes) {
        refuse(options_.default_response(400, "the headers are too long"));
        return text.size();
    }
    const std::string_view fresh = text.substr(0, end == 0 ? text.size() : end - before);
    head_lines_ += static_cast<std::size_t>(std::count(fresh.begin(), fresh.end(), '\n'));
    if (head_lines_ > kMaxHeadLines) {
        refuse(options_.default_response(400, "there are more than " + std::to_string(kMaxHeadLines) + " headers"));
        return text.size();
    }
    if (end == 0) {
        if (before == 0) head_ = text;
        keep_head();
        return text.size();
    }
    position_ += end - before;
    const std::string pieces = take_head();
    judge(before > 0 ? std::string_view(pieces).substr(0, end) : text.substr(0, end));
    return end - before;
}

void Connection::keep_head() {
    if (head_reserved_ == 0) {
        stepped_at_ = loop::EventLoop::now();
        heads_.add_arriving(*this);
    }
    const std::size_t wanted = kHeadCopies * head_.size() + kLineOverhead * head_lines_;
    const std::size_t more = wanted - head_reserved_;
    if (!heads_.take(more, *this)) return refuse(options_.default_response(503, ""));
    head_reserved_ = wanted;
}

std::string Connection::take_head() {
    heads_.remove_arriving(*this);
    heads_.release(std::exchange(head_reserved_, 0));
    head_lines_ = 0;
    return std::exchange(head_, {});
}

std::size_t Connection::read_body(std::size_t arrived) {
    const std::size_t used = std::min(arrived, body_left_);
    body_left_ -= used;
    position_ += used;
    if (reserve_body(used, body_bytes_) && body_left_ == 0) {
        end_body(State::kHead);
        let_through();
    }
    return used;
}

std::size_t Connection::read_chunks(std::string_view text) {
    std::size_t used = 0;
    const auto read = chunks_->read(text, used);
    position_ += used;
    if (read == ChunkReader::State::kWrong) {
        refuse(options_.default_response(400,
                                         "a chunk must be its size in hexadecimal digits, CR LF, the data, CR LF, without "
                                         "extensions; trailers must be short lines that end with CR LF"));
    } else if (chunks_->data_bytes() > options_.max_body_bytes) {
        refuse(options_.default_response(413, ""));
    } else if (reserve_body(used, options_.max_body_bytes) && read == ChunkReader::State::kDone) {
        end_body(State::kLast);
        let_through();
    }
    return used;
}

bool Connection::reserve_body(std::size_t arrived, std::size_t whole) {
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
    bodies_.release(unused);
    reserved_ -= unused;
    state_ = next;
}

void Connection::cut_if_stalled(core::MonoTime now) {
    if (body_reserved_ + head_reserved_ == 0 || now - stepped_at_ < options_.body_step_timeout) return;
    cut();
}

bool Connection::cut_if_idle() {
    if (!is_known_ || under_way_ > 0 || !is_judging()) return false;
    cut();
    return true;
}

void Connection::start_deadline(std::chrono::milliseconds time) {
    if (!deadline_) deadline_ = loop_.make_timer([this] { cut(); });
    deadline_->start(time);
}

void Connection::judge(std::string_view text) {
    const auto head = parse_head(text);
    if (!head) return refuse(options_.default_response(400, head.error().message));
    header_count_ = head->request.headers.size();
    if (head->has_body()) {
        if (const auto refusal = options_.screen(head->request)) return refuse(*refusal);  // 405 for a method that is not served
        if (!head->may_have_body()) return refuse(options_.default_response(400, "this method takes no body"));
        if (head->content_length > options_.max_body_bytes) return refuse(options_.default_response(413, ""));
        state_ = head->chunked ? State::kChunks : State::kBody;
        if (head->chunked) chunks_.emplace();
        body_bytes_ = body_left_ = head->content_length;
        body_arrived_ = body_reserved_ = 0;
        step_left_ = options_.body_step;
        stepped_at_ = loop::EventLoop::now();
        bodies_.add_arriving(*this);
    } else {
        let_through();
    }
    ++under_way_;
}

std::optional<std::size_t> Connection::on_request() {
    if (deadline_) deadline_->stop();
    const std::uint64_t read = received_ - evbuffer_get_length(bufferevent_get_input(stream_));
    if (passed_.empty() || passed_.front().end != read) return std::nullopt;
    const std::size_t header_count = passed_.front().header_count;
    passed_.pop_front();
    if (is_throwing_away()) throw_away();
    bound_input();
    return header_count;
}

void Connection::start_answer() { start_deadline(options_.answer_timeout); }

void Connection::on_answered() {
    deadline_->stop();
    under_way_ = std::max(0, under_way_ - 1);
    if (unanswered() == 0) {
        const std::size_t kept = is_in_body() ? body_reserved_ : 0;
        bodies_.release(std::exchange(reserved_, kept) - kept);
        if (state_ == State::kLast) {
            linger();
        } else if (!head_.empty() || is_in_body()) {
            stepped_at_ = loop::EventLoop::now();  // it could not come further while it had to wait
            start_deadline(options_.request_timeout);
        }
    }
    bound_input();
}

bool Connection::is_throwing_away() const {
    if (state_ == State::kLast) return passed_.empty();
    return state_ == State::kRefusing || state_ == State::kLingering || state_ == State::kOver;
}

void Connection::throw_away() {
    evbuffer* const input = bufferevent_get_input(stream_);
    thrown_away_ += evbuffer_get_length(input);
    evbuffer_drain(input, evbuffer_get_length(input));
    if (thrown_away_ > kMaxThrownAway && state_ != State::kOver) cut();
}

// evhttp takes a body, or a chunk, from its input when all of it is there.
std::size_t Connection::input_bound() const {
    if (is_throwing_away()) return kUnbounded;
    if (state_ == State::kLast) return 1;  // what is there is evhttp's to read, and nothing may come behind it
    const std::size_t head = options_.max_header_bytes + 2;
    if (!is_in_body() || unanswered() > 0) return head;
    return head + (state_ == State::kBody ? body_bytes_ : options_.max_body_bytes + kChunkLines);
}

// bufferevent stops reading the socket at its high watermark. evhttp never sets one, and what it does to EV_READ does not matter.
void Connection::bound_input() {
    const std::size_t bound = input_bound();
    if (std::exchange(bound_, bound) != bound) bufferevent_setwatermark(stream_, EV_READ, 0, bound);
}

void Connection::refuse(const http::Response& response) {
    take_head();
    if (is_in_body()) {
        end_body(State::kHead);
        --under_way_;
    }
    if (under_way_ > 0) {  // their answers come first; then the connection ends
        state_ = State::kLast;
        return;
    }
    state_ = State::kRefusing;
    is_taken_ = true;
    bufferevent_setcb(stream_, nullptr, &Connection::on_refusal_written, &Connection::on_end, this);
    const std::string answer = error_response_text(response);
    bufferevent_enable(stream_, EV_WRITE);
    evbuffer_add(bufferevent_get_output(stream_), answer.data(), answer.size());
    start_deadline(kLinger);
}

void Connection::on_refusal_written(bufferevent* stream, void* self) noexcept {
    auto& connection = *static_cast<Connection*>(self);
    if (connection.state_ == State::kRefusing && evbuffer_get_length(bufferevent_get_output(stream)) == 0) connection.linger();
}

void Connection::on_end(bufferevent*, short, void* self) noexcept { static_cast<Connection*>(self)->cut(); }

// A connection that is closed with bytes unread is reset, and the client may lose the answer.
void Connection::linger() {
    state_ = State::kLingering;
    ::shutdown(bufferevent_getfd(stream_), SHUT_WR);
    throw_away();
    if (state_ == State::kLingering) start_deadline(kLinger);
}

// evhttp sees the end, as if the client had gone, and frees everything. In its own turn of the loop: this may run inside a
// callback of the stream.
void Connection::cut() {
    if (is_in_body()) end_body(State::kOver);
    take_head();
    state_ = State::kOver;
    if (deadline_) deadline_->stop();
    if (std::exchange(is_taken_, false)) {
        bufferevent_setcb(stream_, evhttp_on_read_, evhttp_on_write_, evhttp_on_event_, evhttp_context_);
    }
    ::shutdown(bufferevent_getfd(stream_), SHUT_RDWR);
    throw_away();
    bufferevent_trigger_event(stream_, BEV_EVENT_READING | BEV_EVENT_EOF, BEV_TRIG_DEFER_CALLBACKS);
}

}  // namespace messaging::http_server
