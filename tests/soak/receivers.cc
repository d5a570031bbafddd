// What each path is answered with.
#include "soak/receivers.h"

#include <cstdlib>
#include <utility>

#include "support/places.h"
#include "support/process.h"

namespace messaging::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kMendPeriod{40};  // of an endpoint that breaks and mends: bad in the first half

std::string id_of(const http::Request& request) { return std::string(request.header("webhook-id").value_or("")); }

ScriptedAnswer status(int code, http::Headers headers = {}) {
    ScriptedAnswer answer;
    answer.status = code;
    answer.headers = std::move(headers);
    return answer;
}

}  // namespace

GoodReceiver::GoodReceiver(Acceptances& acceptances, Signatures& signatures)
    : acceptances_(acceptances),
      signatures_(signatures),
      receiver_([this](const auto& request, auto) { return answer(request); }) {}

void GoodReceiver::misbehave(std::optional<ScriptedAnswer> answer) {
    const std::lock_guard lock(mutex_);
    bad_ = std::move(answer);
}

// Names: limited-<per second>-<number> has a limit; good-… and limited-… are signed; event-… are subscribers.
ScriptedAnswer GoodReceiver::answer(const http::Request& request) {
    const std::string endpoint = request.path.substr(1);
    const bool limited = endpoint.starts_with("limited-");
    if (limited || endpoint.starts_with("good-")) signatures_.remember(endpoint, request);
    const std::lock_guard lock(mutex_);
    if (limited) {
        const std::string sent = id_of(request) + " " + std::string(request.header("webhook-timestamp").value_or(""));
        const int limit = std::atoi(endpoint.c_str() + std::string("limited-").size());
        rates_.arrived(endpoint, limit, sent, std::chrono::steady_clock::now());
    }
    if (bad_ && ++asked_ % 3 == 0) {
        ++refused_;
        return *bad_;
    }
    acceptances_.add(id_of(request), request.body);
    if (endpoint.starts_with("event-")) event_bodies_.emplace(id_of(request), request.body);
    ScriptedAnswer accepted;
    // The slow endpoint takes less than often comes for it, so that its messages are held.
    if (endpoint == "slow") accepted.delay = milliseconds(100);
    return accepted;
}

RateWindows GoodReceiver::rates() const {
    const std::lock_guard lock(mutex_);
    return rates_;
}

std::map<std::string, std::string> GoodReceiver::event_bodies() const {
    const std::lock_guard lock(mutex_);
    return event_bodies_;
}

BadReceivers::BadReceivers(Acceptances& acceptances)
    : acceptances_(acceptances),
      scripted_([this](const auto& request, auto) { return answer(request); }),
      raw_(acceptances),
      tls_("http/1.1"),
      closed_port_(free_port()) {
    const auto scripted = [this](const char* path) {
        return [this, path](int number) { return scripted_.url("/" + std::string(path) + "/" + std::to_string(number)); };
    };
    const auto raw = [this](const char* path) {
        return [this, path](int number) { return raw_.url("/" + std::string(path) + "/" + std::to_string(number)); };
    };
    const std::string plain = std::to_string(scripted_.port());
    kinds_ = {{"hang", raw("hang")},
              {"refuse", [this](int) { return "http://127.0.0.1:" + std::to_string(closed_port_) + "/"; }},
              {"500", scripted("500")},
              {"500-to-some", scripted("some")},
              {"410", scripted("410")},
              {"422", scripted("422")},
              {"429", scripted("429")},
              {"503", scripted("503")},
              {"redirect", scripted("redirect")},
              {"close", scripted("close")},
              {"slow-2s", scripted("late"), true},
              {"mending", scripted("mending")},
              {"reset", raw("reset")},
              {"garbage", raw("garbage")},
              {"huge", raw("huge")},
              {"flood", raw("flood")},
              {"no-such-name", [](int number) { return "http://no-such-name-" + std::to_string(number) + ".invalid/"; }},
              {"no-tls", [plain](int) { return "https://127.0.0.1:" + plain + "/"; }},
              {"unknown-certificate", [this](int) { return tls_.url(); }},
              {"forbidden", [](int number) { return "http://10.0.0." + std::to_string(number + 1) + "/"; }}};
}

ScriptedAnswer BadReceivers::answer(const http::Request& request) const {
    const std::string id = id_of(request);
    const std::string kind = request.path.substr(1, request.path.find('/', 1) - 1);
    if (kind == "500") return status(500);
    if (kind == "410") return status(410);
    if (kind == "422") return status(422);
    if (kind == "429") return status(429, {{"Retry-After", "2"}});
    if (kind == "503") return status(503);
    if (kind == "redirect") return status(302, {{"Location", scripted_.url("/accepting")}});
    ScriptedAnswer answer;
    if (kind == "close") {
        answer.close = true;
        return answer;
    }
    if (kind == "some" && std::hash<std::string>{}(id) % 3 == 0) return status(500);
    if (kind == "mending") {
        const auto number = std::atol(request.path.c_str() + request.path.rfind('/') + 1);
        const auto phase = (std::chrono::steady_clock::now() - began_ + seconds(number)) % kMendPeriod;
        if (phase < kMendPeriod / 2) return status(500);
    }
    if (kind == "late") answer.delay = seconds(2);
    acceptances_.add(id, request.body);
    return answer;
}

}  // namespace messaging::test
