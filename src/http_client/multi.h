// Multi: one curl multi handle on the loop, with its sockets, its timer, and easy handles that are used again.
#pragma once

#include <cstddef>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "http_client/client.h"
#include "http_client/handles.h"
#include "http_client/sockets.h"
#include "http_client/transfer.h"

namespace messaging::http_client {

// Loop thread only. `options` must outlive it. Destroying it drops every pending completion; a completion may do so.
class Multi {
public:
    Multi(loop::EventLoop& loop, const ClientOptions& options);
    ~Multi();
    Multi(const Multi&) = delete;
    Multi& operator=(const Multi&) = delete;

    // Completes once, later, never inside this call.
    void start(PostRequest request, Client::Completion done);
    std::size_t in_flight() const { return active_.size() + refused_.size(); }

private:
    static int on_socket(CURL*, curl_socket_t fd, int what, void* self, void*) noexcept;
    static int on_timer(CURLM*, long wait_ms, void* self) noexcept;
    void act(curl_socket_t fd, int events);
    void complete_finished();
    void complete_refused();
    void refuse(std::unique_ptr<Transfer> transfer);

    const ClientOptions& options_;
    std::vector<std::unique_ptr<Transfer>> idle_;  // handles to use again
    std::unordered_map<Transfer*, std::unique_ptr<Transfer>> active_;
    Sockets sockets_;
    MultiHandle multi_;                                               // depends-on: sockets_
    std::vector<std::pair<Client::Completion, PostResult>> refused_;  // could not be started; answered by the next turn
    std::unique_ptr<loop::Timer> timer_;
    std::unique_ptr<loop::Timer> refused_timer_;
    const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // a completion may destroy this
};

}  // namespace messaging::http_client
