// The receivers of the soak: one that is good unless a fault has it refuse a third of its requests, and bad ones of every kind.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "soak/acceptances.h"
#include "soak/rate_windows.h"
#include "soak/raw_receiver.h"
#include "soak/signatures.h"
#include "support/scripted_receiver.h"
#include "support/tls_receiver.h"

namespace messaging::test {

// The path of each endpoint is its name. All calls from any thread.
class GoodReceiver {
public:
    GoodReceiver(Acceptances& acceptances, Signatures& signatures);

    std::string url(const std::string& endpoint) const { return receiver_.url("/" + endpoint); }
    // Of each three requests one is answered so; nullopt: all are accepted.
    void misbehave(std::optional<ScriptedAnswer> answer);
    bool arrived_after(std::chrono::steady_clock::time_point when) const {
        return receiver_.first_arrival_after(when).has_value();
    }

    long requests() const { return static_cast<long>(receiver_.count()); }
    long refused() const { return refused_; }
    RateWindows rates() const;
    // The accepted bodies of messages of events, by webhook-id.
    std::map<std::string, std::string> event_bodies() const;

private:
    ScriptedAnswer answer(const http::Request& request);

    Acceptances& acceptances_;
    Signatures& signatures_;
    mutable std::mutex mutex_;  // guards what follows up to the receiver
    std::optional<ScriptedAnswer> bad_;
    long asked_ = 0;
    RateWindows rates_;
    std::map<std::string, std::string> event_bodies_;
    std::atomic<long> refused_{0};
    ScriptedReceiver receiver_;
};

struct BadKind {
    std::string name;
    std::function<std::string(int number)> url;
    bool accepts_late = false;
};

class BadReceivers {
public:
    explicit BadReceivers(Acceptances& acceptances);
    const std::vector<BadKind>& kinds() const { return kinds_; }
    long requests() const { return static_cast<long>(scripted_.count()) + raw_.requests(); }

private:
    ScriptedAnswer answer(const http::Request& request) const;

    Acceptances& acceptances_;
    const std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
    ScriptedReceiver scripted_;
    RawReceiver raw_;
    TlsReceiver tls_;
    int closed_port_;
    std::vector<BadKind> kinds_;
};

}  // namespace messaging::test
