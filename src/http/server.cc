// evhttp: requests in, answers out.
#include "http/server.h"

#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/queue.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <unordered_set>
#include <utility>

namespace messaging::http {
namespace {

struct EvhttpDeleter {
    void operator()(evhttp* http) const { evhttp_free(http); }
};

constexpr int kAllMethods = EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD | EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE |
                            EVHTTP_REQ_OPTIONS | EVHTTP_REQ_TRACE | EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH;
constexpr std::size_t kCutFactor = 10;  // evhttp answers a body so many times over our limit itself, in HTML

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

int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

// Escapes that are not well-formed stay as they are.
std::string percent_decoded(std::string_view text, bool plus_is_space) {
    std::string decoded;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const int high = text[i] == '%' && i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
        const int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
        if (low >= 0) {
            decoded.push_back(static_cast<char>(high * 16 + low));
            i += 2;
        } else {
            decoded.push_back(plus_is_space && text[i] == '+' ? ' ' : text[i]);
        }
    }
    return decoded;
}

void read_query(std::string_view query, Request& request) {
    while (!query.empty()) {
        const std::string_view pair = query.substr(0, query.find('&'));
        query.remove_prefix(std::min(query.size(), pair.size() + 1));
        if (pair.empty()) continue;
        const std::size_t equals = std::min(pair.find('='), pair.size());
        const std::string_view value = equals < pair.size() ? pair.substr(equals + 1) : std::string_view();
        request.query.emplace_back(percent_decoded(pair.substr(0, equals), true), percent_decoded(value, true));
    }
}

Request read_request(evhttp_request* raw) {
    Request request;
    request.method = method_name(evhttp_request_get_command(raw));
    const std::string_view uri = evhttp_request_get_uri(raw);
    const std::size_t question = std::min(uri.find('?'), uri.size());
    request.path = percent_decoded(uri.substr(0, question), false);
    if (question < uri.size()) read_query(uri.substr(question + 1), request);
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

// One request that is owed an answer. Shared by its Responder and by the server, which is the only one to outlive it.
struct Responder::State {
    evhttp_request* raw = nullptr;  // null once answered
    std::unordered_set<State*>* owed = nullptr;
    std::function<Response()> on_forgotten;
    std::function<void(int)> on_sent;

    void send(const Response& response) {
        if (raw == nullptr) return;
        owed->erase(this);
        evhttp_request* const request = std::exchange(raw, nullptr);
        evkeyvalq* const headers = evhttp_request_get_output_headers(request);
        if (!response.content_type.empty()) evhttp_add_header(headers, "Content-Type", response.content_type.c_str());
        for (const auto& [name, value] : response.headers) evhttp_add_header(headers, name.c_str(), value.c_str());
        evbuffer* const out = evhttp_request_get_output_buffer(request);
        evbuffer_add(out, response.body.data(), response.body.size());
        evhttp_send_reply(request, response.status, nullptr, nullptr);
        if (on_sent) on_sent(response.status);
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
    if (state_ && state_->raw != nullptr) state_->send(state_->on_forgotten());
}

void Responder::send(Response response) {
    if (state_) state_->send(response);
}

void Responder::on_sent(std::function<void(int)> callback) {
    if (state_) state_->on_sent = std::move(callback);
}

struct Server::Impl {
    ServerOptions options;
    RequestHandler handler;
    std::unordered_set<Responder::State*> owed;
    std::unique_ptr<evhttp, EvhttpDeleter> http;
    evhttp_bound_socket* listener = nullptr;
    int port = 0;

    static void on_request(evhttp_request* raw, void* self) noexcept { static_cast<Impl*>(self)->serve(raw); }

    void serve(evhttp_request* raw) {
        auto state = std::make_shared<Responder::State>();
        state->raw = raw;
        state->owed = &owed;
        state->on_forgotten = options.on_forgotten;
        owed.insert(state.get());
        Responder responder(std::move(state));
        if (evbuffer_get_length(evhttp_request_get_input_buffer(raw)) > options.max_body_bytes) {
            responder.send(options.on_too_large());
            return;
        }
        handler(read_request(raw), std::move(responder));
    }
};

core::Result<std::unique_ptr<Server>> Server::listen(loop::EventLoop& loop, ServerOptions options, RequestHandler handler) {
    auto impl = std::make_unique<Impl>();
    impl->options = std::move(options);
    impl->handler = std::move(handler);
    impl->http.reset(evhttp_new(loop.base()));
    evhttp* const http = impl->http.get();
    evhttp_set_allowed_methods(http, kAllMethods);
    evhttp_set_max_body_size(http, static_cast<ev_ssize_t>(impl->options.max_body_bytes * kCutFactor));
    evhttp_set_max_headers_size(http, static_cast<ev_ssize_t>(impl->options.max_header_bytes));
    evhttp_set_timeout(http, static_cast<int>(impl->options.idle_timeout.count()));
    evhttp_set_default_content_type(http, nullptr);
    evhttp_set_gencb(http, &Impl::on_request, impl.get());
    impl->listener = evhttp_bind_socket_with_handle(http, impl->options.address.c_str(),
                                                    static_cast<ev_uint16_t>(impl->options.port));
    if (impl->listener == nullptr) {
        return core::Error{core::ErrorKind::kUnavailable,
                           "cannot listen on " + impl->options.address + ":" + std::to_string(impl->options.port) + ": " +
                               std::strerror(errno),
                           ""};
    }
    sockaddr_storage address{};
    socklen_t length = sizeof(address);
    getsockname(evhttp_bound_socket_get_fd(impl->listener), reinterpret_cast<sockaddr*>(&address), &length);
    impl->port = ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&address)->sin6_port
                                                     : reinterpret_cast<sockaddr_in*>(&address)->sin_port);
    return std::unique_ptr<Server>(new Server(std::move(impl)));
}

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Server::~Server() {
    while (!impl_->owed.empty()) (*impl_->owed.begin())->send(impl_->options.on_forgotten());
}

int Server::port() const { return impl_->port; }

std::size_t Server::owed() const { return impl_->owed.size(); }

void Server::stop_accepting() {
    if (impl_->listener == nullptr) return;
    evhttp_del_accept_socket(impl_->http.get(), std::exchange(impl_->listener, nullptr));
}

}  // namespace messaging::http
