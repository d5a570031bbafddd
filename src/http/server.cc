// evhttp: requests in, answers out.
#include "http/server.h"

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
#include <unordered_set>
#include <utility>

#include "http/refusals.h"
#include "http/target.h"

namespace messaging::http {
namespace {

struct EvhttpDeleter {
    void operator()(evhttp* http) const { evhttp_free(http); }
};

constexpr ev_uint16_t kAllMethods = 0xffff;  // also those that evhttp does not know: it would answer them itself, in HTML
constexpr int kBacklog = 1024;               // evhttp's own 128 drops connections when hundreds come at once
constexpr std::size_t kCutFactor = 10;       // up to so many times over the limit a body is read, so that its sender sees the 413

constexpr std::chrono::milliseconds kAcceptPause{100};

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

Request read_request(evhttp_request* raw) {
    Request request;
    request.method = method_name(evhttp_request_get_command(raw));
    read_target(evhttp_request_get_uri(raw), request);
    const evkeyvalq* const headers = evhttp_request_get_input_headers(raw);
    for (const evkeyval* header = headers->tqh_first; header != nullptr; header = header->next.tqe_next) {
        request.headers.emplace_back(header->key, header->value);
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

// What is owed to clients: requests without an answer, and connections whose answer is not yet written.
struct Debts {
    std::unordered_set<Responder::State*> unanswered;
    std::unordered_set<evhttp_connection*> unwritten;

    void start_writing(evhttp_request* request) {
        evhttp_connection* const connection = evhttp_request_get_connection(request);
        if (connection == nullptr) return;  // the client has gone
        unwritten.insert(connection);
        evhttp_request_set_on_complete_cb(request, &Debts::on_written, this);
        evhttp_connection_set_closecb(connection, &Debts::on_closed, this);
    }
    static void on_written(evhttp_request* request, void* self) noexcept {
        static_cast<Debts*>(self)->unwritten.erase(evhttp_request_get_connection(request));
    }
    static void on_closed(evhttp_connection* connection, void* self) noexcept {
        static_cast<Debts*>(self)->unwritten.erase(connection);
    }
};

// One request that is owed an answer. Shared by its Responder and by the server, which is the only one to outlive it.
struct Responder::State {
    evhttp_request* raw = nullptr;  // null once answered
    Debts* debts = nullptr;
    const std::function<Response(int)>* refuse = nullptr;
    std::function<void(int)> on_sent;

    void send(const Response& response) {
        if (raw == nullptr) return;
        debts->unanswered.erase(this);
        evhttp_request* const request = std::exchange(raw, nullptr);
        evkeyvalq* const headers = evhttp_request_get_output_headers(request);
        if (!response.content_type.empty()) evhttp_add_header(headers, "Content-Type", response.content_type.c_str());
        for (const auto& [name, value] : response.headers) evhttp_add_header(headers, name.c_str(), value.c_str());
        add_body(request, response.status, response.body);
        debts->start_writing(request);
        evhttp_send_reply(request, response.status, nullptr, nullptr);
        if (on_sent) on_sent(response.status);
    }

    // evhttp writes whatever body there is: an answer to HEAD tells the length only, one of 204 or 304 has none.
    static void add_body(evhttp_request* request, int status, const std::string& body) {
        if (status == 204 || status == 304) return;
        if (evhttp_request_get_command(request) == EVHTTP_REQ_HEAD) {
            const std::string length = std::to_string(body.size());
            evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Length", length.c_str());
        } else {
            evbuffer_add(evhttp_request_get_output_buffer(request), body.data(), body.size());
        }
    }

    void hang_up() {
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
    if (state_ && state_->raw != nullptr) state_->send((*state_->refuse)(500));
}

void Responder::send(const Response& response) {
    if (state_) state_->send(response);
}

void Responder::hang_up() {
    if (state_) state_->hang_up();
}

void Responder::on_sent(std::function<void(int)> callback) {
    if (state_) state_->on_sent = std::move(callback);
}

struct Server::Impl {
    ServerOptions options;
    RequestHandler handler;
    Debts debts;
    std::unique_ptr<evhttp, EvhttpDeleter> http;  // depends-on: debts
    evhttp_bound_socket* listener = nullptr;
    std::unique_ptr<loop::Timer> accept_timer;
    int port = 0;

    static void on_request(evhttp_request* raw, void* self) noexcept { static_cast<Impl*>(self)->serve(raw); }

    static bufferevent* on_connection(event_base* base, void* self) noexcept {
        auto& impl = *static_cast<Impl*>(self);
        bufferevent* const connection = bufferevent_socket_new(base, -1, 0);
        if (connection != nullptr) replace_refusals(connection, impl.options.refuse);
        impl.spare_descriptors();
        return connection;
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
        state->debts = &debts;
        state->refuse = &options.refuse;
        debts.unanswered.insert(state.get());
        Responder responder(std::move(state));
        if (evbuffer_get_length(evhttp_request_get_input_buffer(raw)) > options.max_body_bytes) {
            responder.send(options.refuse(413));
            return;
        }
        handler(read_request(raw), std::move(responder));
    }
};

core::Result<std::unique_ptr<Server>> Server::listen(loop::EventLoop& loop, ServerOptions options, RequestHandler handler) {
    auto impl = std::make_unique<Impl>();
    impl->options = std::move(options);
    if (!impl->options.refuse) impl->options.refuse = [](int status) { return Response{status, "", {}, ""}; };
    impl->handler = std::move(handler);
    impl->http.reset(evhttp_new(loop.base()));
    evhttp* const http = impl->http.get();
    evhttp_set_allowed_methods(http, kAllMethods);
    evhttp_set_max_body_size(http, static_cast<ev_ssize_t>(impl->options.max_body_bytes * kCutFactor));
    evhttp_set_max_headers_size(http, static_cast<ev_ssize_t>(impl->options.max_header_bytes));
    evhttp_set_timeout(http, static_cast<int>(impl->options.idle_timeout.count()));
    evhttp_set_default_content_type(http, nullptr);
    evhttp_set_gencb(http, &Impl::on_request, impl.get());
    evhttp_set_bevcb(http, &Impl::on_connection, impl.get());
    impl->accept_timer = loop.make_timer([raw = impl.get()] { raw->accept_again(); });
    impl->listener =
        evhttp_bind_socket_with_handle(http, impl->options.address.c_str(), static_cast<ev_uint16_t>(impl->options.port));
    if (impl->listener == nullptr) {
        return core::Error{
            core::ErrorKind::kUnavailable,
            "cannot listen on " + impl->options.address + ":" + std::to_string(impl->options.port) + ": " + std::strerror(errno),
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
    while (!impl_->debts.unanswered.empty()) (*impl_->debts.unanswered.begin())->send(impl_->options.refuse(500));
}

int Server::port() const { return impl_->port; }

std::size_t Server::owed() const { return impl_->debts.unanswered.size() + impl_->debts.unwritten.size(); }

void Server::stop_accepting() {
    if (impl_->listener == nullptr) return;
    evhttp_del_accept_socket(impl_->http.get(), std::exchange(impl_->listener, nullptr));
}

}  // namespace messaging::http
