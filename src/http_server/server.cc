// Runs evhttp: hands requests to the handler, and writes answers.
#include "http_server/server.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <limits>
#include <map>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "http/text.h"
#include "http_server/connection.h"
#include "http_server/error_pages.h"
#include "http_server/target.h"

namespace messaging::http_server {
namespace {

struct EvhttpDeleter {
    void operator()(evhttp* http) const { evhttp_free(http); }
};

constexpr ev_uint16_t kAllMethods = 0xffff;  // also those that evhttp does not know: it would answer them itself, in HTML
constexpr int kBacklog = 1024;               // evhttp's own 128 drops connections when hundreds come at once
constexpr std::size_t kSmallAnswer = 4096;   // bytes; written whatever else waits to be

constexpr std::size_t kAllHeaders = std::numeric_limits<std::size_t>::max();
constexpr std::chrono::milliseconds kAcceptPause{100};
constexpr int kMaxLooked = 256;

// The lowest free descriptor is the number that the next connection would get.
bool descriptors_are_scarce(int any_open_fd) {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return false;
    const int lowest_free = fcntl(any_open_fd, F_DUPFD_CLOEXEC, 0);
    if (lowest_free < 0) return true;
    ::close(lowest_free);
    return static_cast<rlim_t>(lowest_free) >= limit.rlim_cur - limit.rlim_cur / 4;
}

const char* method_name(evhttp_cmd_type method) {
    switch (method) {
        case EVHTTP_REQ_GET: return "GET";
        case EVHTTP_REQ_POST: return "POST";
        case EVHTTP_REQ_HEAD: return "HEAD";
        case EVHTTP_REQ_PUT: return "PUT";
        case EVHTTP_REQ_DELETE: return "DELETE";
        case EVHTTP_REQ_OPTIONS: return "OPTIONS";
        case EVHTTP_REQ_TRACE: return "TRACE";
        case EVHTTP_REQ_CONNECT: return "CONNECT";
        case EVHTTP_REQ_PATCH: return "PATCH";
    }
    return "UNKNOWN";
}

// evhttp appends the trailers of a body to the headers, and leaves a tab before a value where it is.
http::Request read_request(evhttp_request* raw, std::size_t header_count) {
    http::Request request;
    request.method = method_name(evhttp_request_get_command(raw));
    read_target(evhttp_request_get_uri(raw), request);
    const evkeyvalq* const headers = evhttp_request_get_input_headers(raw);
    for (const evkeyval* header = headers->tqh_first; header != nullptr && request.headers.size() < header_count;
         header = header->next.tqe_next) {
        request.headers.emplace_back(header->key, http::trimmed(header->value));
    }
    evbuffer* const body = evhttp_request_get_input_buffer(raw);
    request.body.resize(evbuffer_get_length(body));
    if (!request.body.empty()) evbuffer_remove(body, request.body.data(), request.body.size());
    char* address = nullptr;
    ev_uint16_t port = 0;
    if (evhttp_connection* const connection = evhttp_request_get_connection(raw)) {
        evhttp_connection_get_peer(connection, &address, &port);
    }
    if (address != nullptr) request.peer = address;
    return request;
}

}  // namespace

// The connections and their pending responses: requests without an answer, and answers that are not yet written.
struct Clients {
    std::unordered_map<bufferevent*, std::unique_ptr<Connection>> connections;  // where requests are screened
    std::map<std::uint64_t, Connection*> by_age;                                // of connections
    std::unordered_set<Responder::State*> unanswered;
    std::unordered_map<evhttp_connection*, std::size_t> unwritten;  // bytes
    std::size_t unwritten_bytes = 0;

    Connection* find(evhttp_connection* connection) const {
        const auto found = connections.find(evhttp_connection_get_bufferevent(connection));
        return found == connections.end() ? nullptr : found->second.get();
    }
    void add(bufferevent* stream, std::unique_ptr<Connection> connection) {
        remove(stream);  // one that has gone without a word
        by_age.emplace(connection->number(), connection.get());
        connections.emplace(stream, std::move(connection));
    }
    void remove(bufferevent* stream) {
        const auto found = connections.find(stream);
        if (found == connections.end()) return;
        by_age.erase(found->second->number());
        connections.erase(found);
    }
    // So that one that goes without a word is removed, too.
    void make_known(bufferevent* stream, std::uint64_t number) {
        const auto found = connections.find(stream);
        if (found != connections.end() && found->second->number() == number) found->second->make_known();
    }
    // The oldest that may be cut, among so many that no turn of the loop is spent on it.
    void cut_oldest() const {
        int looked = 0;
        for (auto one = by_age.begin(); one != by_age.end() && ++looked < kMaxLooked; ++one) {
            if (one->second->cut_if_idle()) return;
        }
    }
    void start_writing(evhttp_request* request, std::size_t bytes) {
        evhttp_connection* const connection = evhttp_request_get_connection(request);
        if (connection == nullptr) return;  // the client has gone
        unwritten.insert_or_assign(connection, bytes);
        unwritten_bytes += bytes;
        evhttp_request_set_on_complete_cb(request, &Clients::on_written, this);
        evhttp_connection_set_closecb(connection, &Clients::on_closed, this);
        if (Connection* const gate = find(connection)) gate->start_answer();
    }
    void forget_writing(evhttp_connection* connection) {
        const auto found = unwritten.find(connection);
        if (found == unwritten.end()) return;
        unwritten_bytes -= found->second;
        unwritten.erase(found);
    }
    static void on_written(evhttp_request* request, void* self) noexcept {
        auto& clients = *static_cast<Clients*>(self);
        evhttp_connection* const connection = evhttp_request_get_connection(request);
        clients.forget_writing(connection);
        Connection* const gate = clients.find(connection);
        if (gate == nullptr) return;
        // evhttp would close it at once, and reset it where something is unread.
        if (gate->is_last()) evhttp_remove_header(evhttp_request_get_output_headers(request), "Connection");
        gate->on_answered();
    }
    static void on_closed(evhttp_connection* connection, void* self) noexcept {
        auto& clients = *static_cast<Clients*>(self);
        clients.forget_writing(connection);
        clients.remove(evhttp_connection_get_bufferevent(connection));
    }
};

// One request that has no answer yet. Shared by its Responder and by the server, and only the server outlives it.
struct Responder::State {
    evhttp_request* raw = nullptr;  // null once answered
    Clients* clients = nullptr;
    const ServerOptions* options = nullptr;
    std::function<void(int)> on_sent;

    void send(const http::Response& response) {
        const std::size_t bytes = response.body.size();  // a shared one costs no memory
        if (bytes > kSmallAnswer && clients->unwritten_bytes + bytes > options->max_unwritten_bytes) {
            write(options->default_response(503, ""));
        } else {
            write(response);
        }
    }

    void write(const http::Response& response) {
        if (raw == nullptr) return;
        clients->unanswered.erase(this);
        evhttp_request* const request = std::exchange(raw, nullptr);
        evkeyvalq* const headers = evhttp_request_get_output_headers(request);
        if (!response.content_type.empty()) evhttp_add_header(headers, "Content-Type", response.content_type.c_str());
        for (const auto& [name, value] : response.headers) evhttp_add_header(headers, name.c_str(), value.c_str());
        evhttp_connection* const connection = evhttp_request_get_connection(request);
        const Connection* const gate = connection == nullptr ? nullptr : clients->find(connection);
        if (gate != nullptr && gate->is_last()) evhttp_add_header(headers, "Connection", "close");
        add_body(request, response);
        clients->start_writing(request, response.body.size());
        evhttp_send_reply(request, response.status, nullptr, nullptr);
        if (on_sent) on_sent(response.status);
    }

    // evhttp writes whatever body there is: an answer to HEAD tells the length only, one of 204 or 304 has none.
    static void add_body(evhttp_request* request, const http::Response& response) {
        if (response.status == 204 || response.status == 304) return;
        const std::string& body = response.content();
        evbuffer* const output = evhttp_request_get_output_buffer(request);
        if (evhttp_request_get_command(request) == EVHTTP_REQ_HEAD) {
            const std::string length = std::to_string(body.size());
            evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Length", length.c_str());
        } else if (response.shared_body) {
            const auto release = [](const void*, std::size_t, void* owner) {
                delete static_cast<std::shared_ptr<const std::string>*>(owner);
            };
            evbuffer_add_reference(output, body.data(), body.size(), release,
                                   new std::shared_ptr<const std::string>(response.shared_body));
        } else {
            evbuffer_add(output, body.data(), body.size());
        }
    }

    void abort() {
        if (raw == nullptr) return;
        if (evhttp_connection* const connection = evhttp_request_get_connection(raw)) {
            ::shutdown(bufferevent_getfd(evhttp_connection_get_bufferevent(connection)), SHUT_RDWR);
        }
        send({});  // cannot be written: evhttp closes the connection
    }
};

Responder::Responder(Responder&&) noexcept = default;

Responder& Responder::operator=(Responder&& other) noexcept {
    if (this != &other) {
        Responder dropped(std::move(*this));
        state_ = std::move(other.state_);
    }
    return *this;
}

Responder::~Responder() {
    if (pending()) state_->send(state_->options->default_response(500, ""));
}

void Responder::send(const http::Response& response) {
    if (state_) state_->send(response);
}

void Responder::abort() {
    if (state_) state_->abort();
}

bool Responder::pending() const { return state_ && state_->raw != nullptr; }

void Responder::on_sent(std::function<void(int)> callback) {
    if (state_) state_->on_sent = std::move(callback);
}

struct Server::Impl {
    Impl(loop::EventLoop& the_loop, ServerOptions the_options)
        : options(std::move(the_options)), loop(the_loop), bodies(options.max_bodies_bytes), heads(options.max_heads_bytes) {}

    ServerOptions options;
    RequestHandler handler;
    loop::EventLoop& loop;
    Budget bodies;
    Budget heads;
    Clients clients;                              // depends-on: bodies, heads
    std::unique_ptr<evhttp, EvhttpDeleter> http;  // depends-on: clients
    evhttp_bound_socket* listener = nullptr;
    std::unique_ptr<loop::Timer> accept_timer;
    int port = 0;
    std::uint64_t made = 0;  // connections
    const std::shared_ptr<bool> alive = std::make_shared<bool>(true);

    static void on_request(evhttp_request* raw, void* self) noexcept { static_cast<Impl*>(self)->serve(raw); }

    static bufferevent* on_connection(event_base* base, void* self) noexcept {
        auto& impl = *static_cast<Impl*>(self);
        bufferevent* const connection = bufferevent_socket_new(base, -1, 0);
        if (connection != nullptr) {
            replace_error_pages(connection, impl.options.default_response);
            if (impl.options.screen) impl.screen(connection);
        }
        impl.spare_descriptors();
        return connection;
    }
    void screen(bufferevent* stream) {
        auto connection = std::make_unique<Connection>(loop, stream, options, bodies, heads, ++made,
                                                       Connection::OnClosed{&Clients::on_closed, &clients});
        if (clients.connections.size() >= options.max_connections) clients.cut_oldest();
        evbuffer_add_cb(bufferevent_get_input(stream), &Impl::on_input, connection.get());
        const std::uint64_t number = connection->number();
        clients.add(stream, std::move(connection));
        loop.post([this, guard = std::weak_ptr<bool>(alive), stream, number] {
            if (!guard.expired()) clients.make_known(stream, number);
        });
    }
    static void on_input(evbuffer*, const evbuffer_cb_info* change, void* connection) noexcept {
        if (change->n_added > 0) static_cast<Connection*>(connection)->on_input(change->n_added);
    }
    static void on_accept_error(evconnlistener*, void* self) noexcept { static_cast<Impl*>(self)->pause_accepting(); }

    void spare_descriptors() {
        if (listener != nullptr && descriptors_are_scarce(evhttp_bound_socket_get_fd(listener))) pause_accepting();
    }
    void pause_accepting() {
        if (options.on_pause) options.on_pause();
        evconnlistener_disable(evhttp_bound_socket_get_listener(listener));
        accept_timer->start(kAcceptPause);
    }
    void accept_again() {
        if (listener == nullptr) return;
        if (descriptors_are_scarce(evhttp_bound_socket_get_fd(listener))) {
            accept_timer->start(kAcceptPause);
        } else {
            evconnlistener_enable(evhttp_bound_socket_get_listener(listener));
        }
    }

    void serve(evhttp_request* raw) {
        auto state = std::make_shared<Responder::State>();
        state->raw = raw;
        state->clients = &clients;
        state->options = &options;
        clients.unanswered.insert(state.get());
        Responder responder(std::move(state));
        evhttp_connection* const connection = evhttp_request_get_connection(raw);
        Connection* const gate = connection == nullptr ? nullptr : clients.find(connection);
        const auto header_count = gate == nullptr ? std::optional(kAllHeaders) : gate->on_request();
        if (!header_count) return responder.abort();
        handler(read_request(raw, *header_count), std::move(responder));
    }
};

core::Result<std::unique_ptr<Server>> Server::listen(loop::EventLoop& loop, ServerOptions options, RequestHandler handler) {
    auto impl = std::make_unique<Impl>(loop, std::move(options));
    if (!impl->options.default_response)
        impl->options.default_response = [](int status, const std::string&) { return http::Response{status, "", {}, ""}; };
    impl->handler = std::move(handler);
    impl->http.reset(evhttp_new(loop.base()));
    evhttp* const http = impl->http.get();
    evhttp_set_allowed_methods(http, kAllMethods);
    evhttp_set_max_body_size(http, static_cast<ev_ssize_t>(impl->options.max_body_bytes));
    evhttp_set_max_headers_size(http, static_cast<ev_ssize_t>(impl->options.max_header_bytes));
    evhttp_set_timeout(http, static_cast<int>(impl->options.idle_timeout.count()));
    evhttp_set_default_content_type(http, nullptr);
    evhttp_set_gencb(http, &Impl::on_request, impl.get());
    evhttp_set_bevcb(http, &Impl::on_connection, impl.get());
    impl->accept_timer = loop.make_timer([raw = impl.get()] { raw->accept_again(); });
    errno = 0;
    impl->listener =
        evhttp_bind_socket_with_handle(http, impl->options.address.c_str(), static_cast<ev_uint16_t>(impl->options.port));
    if (impl->listener == nullptr) {
        return core::Error{core::ErrorKind::kUnavailable,
                           "cannot listen on " + impl->options.address + ":" + std::to_string(impl->options.port) + ": " +
                               (errno == 0 ? "it is no address of this machine" : std::strerror(errno)),
                           ""};
    }
    evconnlistener_set_error_cb(evhttp_bound_socket_get_listener(impl->listener), &Impl::on_accept_error);
    const evutil_socket_t socket = evhttp_bound_socket_get_fd(impl->listener);
    ::listen(socket, kBacklog);
    sockaddr_storage address{};
    socklen_t length = sizeof(address);
    getsockname(socket, reinterpret_cast<sockaddr*>(&address), &length);
    impl->port = ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&address)->sin6_port
                                                     : reinterpret_cast<sockaddr_in*>(&address)->sin_port);
    return std::unique_ptr<Server>(new Server(std::move(impl)));
}

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Server::~Server() {
    while (!impl_->clients.unanswered.empty())
        (*impl_->clients.unanswered.begin())->send(impl_->options.default_response(500, ""));
}

int Server::port() const { return impl_->port; }

std::size_t Server::pending_responses() const { return impl_->clients.unanswered.size() + impl_->clients.unwritten.size(); }

void Server::stop_accepting() {
    if (impl_->listener == nullptr) return;
    evhttp_del_accept_socket(impl_->http.get(), std::exchange(impl_->listener, nullptr));
}

}  // namespace messaging::http_server
