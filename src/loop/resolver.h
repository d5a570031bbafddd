// Resolver: host names to addresses without blocking the loop (evdns: /etc/hosts, resolv.conf, search domains).
//
// libpq and hiredis call getaddrinfo() inside their "asynchronous" connects; both are given addresses from here instead.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/result.h"
#include "loop/event_loop.h"

namespace messaging::loop {

// Loop thread only. Destroying it drops the callback.
class Resolver {
public:
    using Completion = std::function<void(core::Result<std::vector<std::string>>)>;  // numeric addresses, in order of preference

    explicit Resolver(EventLoop& loop);
    ~Resolver();
    Resolver(const Resolver&) = delete;
    Resolver& operator=(const Resolver&) = delete;

    // Completes once, later, never inside this call. A numeric address is answered as it is.
    // One look-up at a time: a new start drops the one before. Fails with kUnavailable.
    void start_resolve(const std::string& host, Completion done);
    void cancel();

private:
    struct Lookup;
    EventLoop& loop_;
    std::shared_ptr<Lookup> lookup_;
};

}  // namespace messaging::loop
