// EndpointGates: which endpoints may get requests now. A gate is closed while the endpoint's breaker is open, or while the
// endpoint has asked for a pause. Pure.
#pragma once

#include <chrono>
#include <cstddef>
#include <limits>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/attempt.h"
#include "core/breaker.h"
#include "core/clock.h"
#include "core/message.h"
#include "core/random.h"

namespace messaging::engine {

// A pause that a receiver asks for with Retry-After applies to its endpoint for this long at most.
inline constexpr std::chrono::minutes kLongestAskedPause{10};
// An engine whose attempts fail while those of another engine succeed says so at least this often.
inline constexpr std::chrono::hours kLongestDisagreement{1};
// Requests in flight of an endpoint whose breaker is open, after its pause.
inline constexpr std::size_t kTries = 1;
inline constexpr std::size_t kNoGate = std::numeric_limits<std::size_t>::max();

// What attempts have shown of an endpoint.
enum class Finding {
    kFailing,    // its breaker has opened, or a try has failed
    kRecovered,  // its breaker was open, and a request has succeeded
    kGone,       // it has answered 410
};

struct EndpointFinding {
    core::EndpointId endpoint = 0;
    Finding finding = Finding::kFailing;
    std::string reason{};      // for people; empty for kRecovered
    std::int64_t version = 0;  // of the endpoint that was tried. If the endpoint has another one by now, the finding is dropped
};

class EndpointGates {
public:
    explicit EndpointGates(core::BreakerPolicy policy) : policy_(policy) {}

    // Counts an attempt. Nothing is counted where the fault is our own, or the message's.
    std::optional<EndpointFinding> on_attempt(core::EndpointId endpoint, const core::AttemptResult& result, core::MonoTime now,
                                              core::WallTime wall, core::Random& random);
    // Another engine has found the endpoint failing.
    void open_breaker(core::EndpointId endpoint, core::MonoTime now);
    // Another engine has had a success. If this one has had failures of its own, the path to the endpoint may be broken for it
    // alone: it tries at once, and while its tries fail it sends nothing else and tells the others only after the longest pause,
    // after twice that the next time, and so on up to kLongestDisagreement. Otherwise two engines of which one cannot reach the
    // endpoint would end each other's states for ever, each time with failed attempts.
    void recover_elsewhere(core::EndpointId endpoint, core::MonoTime now);
    void forget(core::EndpointId endpoint) { gates_.erase(endpoint); }

    bool is_open(core::EndpointId endpoint) const;  // its breaker
    // What this engine has found of it and the others are to know, if its breaker is open.
    std::optional<EndpointFinding> failing(core::EndpointId endpoint, core::MonoTime now) const;
    // Requests that may be in flight: 0, kTries, or kNoGate.
    std::size_t most_in_flight(core::EndpointId endpoint, core::MonoTime now) const;
    // Of its held messages, the one to try is the newest.
    bool tries_newest(core::EndpointId endpoint) const;
    bool empty() const { return gates_.empty(); }
    // When its gate opens; nullopt = it is open.
    std::optional<core::MonoTime> opening(core::EndpointId endpoint, core::MonoTime now) const;
    // Every endpoint that has a gate, and the next time at which one of them opens. Both look at all gates.
    std::vector<core::EndpointId> endpoints() const;
    std::optional<core::MonoTime> next_opening(core::MonoTime now) const;

private:
    struct Gate {
        core::Breaker breaker;
        core::MonoTime asked_until{};            // by Retry-After
        bool failed = false;                     // here, since another engine has had a success
        core::MonoTime keeps_to_itself_until{};  // no other engine is told that it fails
        std::chrono::milliseconds keeps_for{0};
        std::string last_failure{};
        core::MonoTime closed_until() const;
    };
    using Gates = std::unordered_map<core::EndpointId, Gate>;
    void end_failing(Gates::iterator gate, core::MonoTime now);
    std::optional<EndpointFinding> on_success(core::EndpointId endpoint, core::MonoTime now);
    void ask_for_pause(Gate& gate, const core::AttemptResult& result, core::MonoTime now, core::WallTime wall) const;

    const core::BreakerPolicy policy_;
    Gates gates_;  // of endpoints that fail, or have asked for a pause
};

}  // namespace messaging::engine
