// curl multi, driven by the loop's watchers and one timer.
#include "http/client.h"

#include <cstdlib>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "http/handles.h"
#include "http/sockets.h"
#include "http/transfer.h"

namespace messaging::http {
namespace {

void set_up_curl_once() {
    static std::once_flag once;
    std::call_once(once, [] {
        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) std::abort();
    });
}

}  // namespace

struct Client::Impl {
    Impl(loop::EventLoop& the_loop, ClientOptions the_options);
    ~Impl();

    static int on_socket(CURL*, curl_socket_t fd, int what, void* self, void*) noexcept;
    static int on_timer(CURLM*, long wait_ms, void* self) noexcept;
    void act(curl_socket_t fd, int events);
    void complete_finished();
    void complete_refused();
    void refuse(std::unique_ptr<Transfer> transfer);
    void start(PostRequest request, Completion done);

    loop::EventLoop& loop;
    const ClientOptions options;
    std::vector<std::unique_ptr<Transfer>> idle;  // handles to use again
    std::unordered_map<Transfer*, std::unique_ptr<Transfer>> active;
    Sockets sockets;
    MultiHandle multi;                                       // depends-on: sockets
    std::vector<std::pair<Completion, PostResult>> refused;  // could not be started; answered by the next turn
    std::unique_ptr<loop::Timer> timer;
    std::unique_ptr<loop::Timer> refused_timer;
    const std::shared_ptr<bool> alive = std::make_shared<bool>(true);  // a completion may destroy the client
};

Client::Impl::Impl(loop::EventLoop& the_loop, ClientOptions the_options)
    : loop(the_loop),
      options(std::move(the_options)),
      sockets(the_loop, [this](curl_socket_t fd, int events) { act(fd, events); }),
      timer(the_loop.make_timer([this] { act(CURL_SOCKET_TIMEOUT, 0); })),
      refused_timer(the_loop.make_timer([this] { complete_refused(); })) {
    set_up_curl_once();
    multi.reset(curl_multi_init());
    if (!multi) std::abort();
    curl_multi_setopt(multi.get(), CURLMOPT_SOCKETFUNCTION, &Impl::on_socket);
    curl_multi_setopt(multi.get(), CURLMOPT_SOCKETDATA, this);
    curl_multi_setopt(multi.get(), CURLMOPT_TIMERFUNCTION, &Impl::on_timer);
    curl_multi_setopt(multi.get(), CURLMOPT_TIMERDATA, this);
    // Fewer than are in flight, and connections would be closed and opened again.
    curl_multi_setopt(multi.get(), CURLMOPT_MAXCONNECTS, static_cast<long>(options.max_in_flight + 16));
}

Client::Impl::~Impl() {
    for (const auto& [transfer, owner] : active) curl_multi_remove_handle(multi.get(), transfer->easy());
    active.clear();
    idle.clear();
    multi.reset();
}

int Client::Impl::on_socket(CURL*, curl_socket_t fd, int what, void* self, void*) noexcept {
    static_cast<Impl*>(self)->sockets.watch(fd, what);
    return 0;
}

int Client::Impl::on_timer(CURLM*, long wait_ms, void* self) noexcept {
    auto& impl = *static_cast<Impl*>(self);
    if (wait_ms < 0) {
        impl.timer->stop();
    } else {
        impl.timer->start(std::chrono::milliseconds(wait_ms));
    }
    return 0;
}

void Client::Impl::act(curl_socket_t fd, int events) {
    int running = 0;
    curl_multi_socket_action(multi.get(), fd, events, &running);
    complete_finished();
}

void Client::Impl::complete_finished() {
    const std::weak_ptr<bool> guard = alive;
    int left = 0;
    while (CURLMsg* const message = curl_multi_info_read(multi.get(), &left)) {
        if (message->msg != CURLMSG_DONE) continue;
        const CURLcode code = message->data.result;
        Transfer* transfer = nullptr;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
        PostResult result = transfer->take_result(code);
        curl_multi_remove_handle(multi.get(), transfer->easy());  // `message` is gone with this
        const Completion done = transfer->take_completion();
        const auto owner = active.find(transfer);
        // curl keeps the last system error of a handle: one that met a fault of ours is not used again.
        if (result.fault != TransportFault::kLocal) idle.push_back(std::move(owner->second));
        active.erase(owner);
        done(std::move(result));
        if (guard.expired()) return;
    }
}

void Client::Impl::complete_refused() {
    const std::weak_ptr<bool> guard = alive;
    for (auto& [done, result] : std::exchange(refused, {})) {
        done(std::move(result));
        if (guard.expired()) return;
    }
}

void Client::Impl::refuse(std::unique_ptr<Transfer> transfer) {
    refused.emplace_back(transfer->take_completion(), transfer->failure());
    refused_timer->start(std::chrono::milliseconds(0));
    if (refused.back().second.fault != TransportFault::kLocal) idle.push_back(std::move(transfer));
}

void Client::Impl::start(PostRequest request, Completion done) {
    std::unique_ptr<Transfer> transfer;
    if (idle.empty()) {
        transfer = std::make_unique<Transfer>(options, sockets);
    } else {
        transfer = std::move(idle.back());
        idle.pop_back();
    }
    if (!transfer->prepare(std::move(request), std::move(done))) {
        refuse(std::move(transfer));
        return;
    }
    // curl asks for its timer; nothing runs inside this call.
    const CURLMcode added = curl_multi_add_handle(multi.get(), transfer->easy());
    if (added != CURLM_OK) {
        transfer->fail(TransportFault::kLocal, curl_multi_strerror(added));
        refuse(std::move(transfer));
        return;
    }
    Transfer* const key = transfer.get();
    active.emplace(key, std::move(transfer));
}

Client::Client(loop::EventLoop& loop, ClientOptions options) : impl_(std::make_unique<Impl>(loop, std::move(options))) {}

Client::~Client() = default;

void Client::start_post(PostRequest request, Completion done) { impl_->start(std::move(request), std::move(done)); }

std::size_t Client::in_flight() const { return impl_->active.size() + impl_->refused.size(); }

core::Result<core::Nothing> check_url(const std::string& url) {
    const auto wrong = [](std::string message) { return core::Error{core::ErrorKind::kInvalid, std::move(message), ""}; };
    if (url.find('\0') != std::string::npos) return wrong("must not contain a NUL character");
    const CurlUrlHandle parsed(curl_url());
    if (curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK) {
        return wrong("must be an absolute URL such as https://example.com/hook");
    }
    const auto part = [&](CURLUPart which) {
        char* text = nullptr;
        const bool found = curl_url_get(parsed.get(), which, &text, 0) == CURLUE_OK;
        std::string value = found ? text : "";
        curl_free(text);
        return value;
    };
    const std::string scheme = part(CURLUPART_SCHEME);
    if (scheme != "http" && scheme != "https") return wrong("must begin with http:// or https://");
    if (part(CURLUPART_HOST).empty()) return wrong("must name a host");
    if (!part(CURLUPART_USER).empty() || !part(CURLUPART_PASSWORD).empty()) {
        return wrong("must not contain a user name or password: send a header instead");
    }
    return core::Nothing{};
}

}  // namespace messaging::http
