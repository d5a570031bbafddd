// Runs curl multi on the loop's watchers and one timer.
#include "http_client/multi.h"

#include <cstdlib>
#include <mutex>

namespace messaging::http_client {
namespace {

void set_up_curl_once() {
    static std::once_flag once;
    std::call_once(once, [] {
        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) std::abort();
    });
}

}  // namespace

Multi::Multi(loop::EventLoop& loop, const ClientOptions& options)
    : options_(options),
      sockets_(
          loop, [this](curl_socket_t fd, int events) { act(fd, events); },
          [this](Transfer* user, std::size_t bytes) { return active_.contains(user) && user->is_flood(bytes); }),
      timer_(loop.make_timer([this] { act(CURL_SOCKET_TIMEOUT, 0); })),
      refused_timer_(loop.make_timer([this] { complete_refused(); })) {
    set_up_curl_once();
    multi_.reset(curl_multi_init());
    if (!multi_) std::abort();
    curl_multi_setopt(multi_.get(), CURLMOPT_SOCKETFUNCTION, &Multi::on_socket);
    curl_multi_setopt(multi_.get(), CURLMOPT_SOCKETDATA, this);
    curl_multi_setopt(multi_.get(), CURLMOPT_TIMERFUNCTION, &Multi::on_timer);
    curl_multi_setopt(multi_.get(), CURLMOPT_TIMERDATA, this);
    curl_multi_setopt(multi_.get(), CURLMOPT_MAXCONNECTS, static_cast<long>(options.connections_of_a_multi));
}

Multi::~Multi() {
    for (const auto& [transfer, owner] : active_) curl_multi_remove_handle(multi_.get(), transfer->easy());
    active_.clear();
    idle_.clear();
    multi_.reset();  // it may ask for the timer
}

int Multi::on_socket(CURL* easy, curl_socket_t fd, int what, void* self, void*) noexcept {
    Transfer* user = nullptr;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &user);
    static_cast<Multi*>(self)->sockets_.watch(fd, what, user);
    return 0;
}

int Multi::on_timer(CURLM*, long wait_ms, void* self) noexcept {
    auto& multi = *static_cast<Multi*>(self);
    if (wait_ms < 0) {
        multi.timer_->stop();
    } else {
        multi.timer_->start(std::chrono::milliseconds(wait_ms));
    }
    return 0;
}

void Multi::act(curl_socket_t fd, int events) {
    int running = 0;
    curl_multi_socket_action(multi_.get(), fd, events, &running);
    complete_finished();
}

void Multi::complete_finished() {
    const std::weak_ptr<bool> guard = alive_;
    int left = 0;
    while (CURLMsg* const message = curl_multi_info_read(multi_.get(), &left)) {
        if (message->msg != CURLMSG_DONE) continue;
        const CURLcode code = message->data.result;
        Transfer* transfer = nullptr;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
        CURL* const easy = message->easy_handle;
        if (code == CURLE_ABORTED_BY_CALLBACK) {
            curl_multi_remove_handle(multi_.get(), easy);
            if (transfer->start_over() && curl_multi_add_handle(multi_.get(), transfer->easy()) == CURLM_OK) continue;
        }
        PostResult result = transfer->take_result(code);
        curl_multi_remove_handle(multi_.get(), transfer->easy());  // `message` is gone with this
        const Client::Completion done = transfer->take_completion();
        const auto owner = active_.find(transfer);
        // curl keeps the last system error of a handle: one that met a fault of ours is not used again.
        if (result.fault != core::AttemptFault::kLocal) idle_.push_back(std::move(owner->second));
        active_.erase(owner);
        done(std::move(result));
        if (guard.expired()) return;
    }
}

void Multi::complete_refused() {
    const std::weak_ptr<bool> guard = alive_;
    for (auto& [done, result] : std::exchange(refused_, {})) {
        done(std::move(result));
        if (guard.expired()) return;
    }
}

void Multi::refuse(std::unique_ptr<Transfer> transfer) {
    refused_.emplace_back(transfer->take_completion(), transfer->failure());
    refused_timer_->start(std::chrono::milliseconds(0));
    if (refused_.back().second.fault != core::AttemptFault::kLocal) idle_.push_back(std::move(transfer));
}

void Multi::start(PostRequest request, Client::Completion done) {
    std::unique_ptr<Transfer> transfer;
    if (idle_.empty()) {
        transfer = std::make_unique<Transfer>(options_, sockets_);
    } else {
        transfer = std::move(idle_.back());
        idle_.pop_back();
    }
    if (!transfer->prepare(std::move(request), std::move(done))) {
        refuse(std::move(transfer));
        return;
    }
    // curl asks for its timer; nothing runs inside this call.
    const CURLMcode added = curl_multi_add_handle(multi_.get(), transfer->easy());
    if (added != CURLM_OK) {
        transfer->fail(core::AttemptFault::kLocal, curl_multi_strerror(added));
        refuse(std::move(transfer));
        return;
    }
    Transfer* const key = transfer.get();
    active_.emplace(key, std::move(transfer));
}

}  // namespace messaging::http_client
