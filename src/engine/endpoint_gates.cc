// Counting failures, and the times at which gates open.
#include "engine/endpoint_gates.h"

#include <algorithm>

#include "core/outcome.h"

namespace messaging::engine {

core::MonoTime EndpointGates::Gate::closed_until() const {
    return std::max(asked_until, breaker.is_open() ? breaker.paused_until() : core::MonoTime{});
}

std::optional<EndpointFinding> EndpointGates::on_attempt(core::EndpointId endpoint, const core::AttemptResult& result,
                                                         core::MonoTime now, core::WallTime wall, core::Random& random) {
    if (result.fault == core::AttemptFault::kLocal) return std::nullopt;
    if (core::is_delivered(result)) return on_success(endpoint, now);
    if (core::is_about_message(result)) return std::nullopt;
    Gate& gate = gates_[endpoint];
    gate.last_failure = core::failure_of(result);
    if (core::is_gone(result)) return EndpointFinding{endpoint, Finding::kGone, gate.last_failure};
    gate.failed = true;
    ask_for_pause(gate, result, now, wall);
    if (!gate.breaker.fail(policy_, now, random) || now < gate.keeps_to_itself_until) return std::nullopt;
    return EndpointFinding{endpoint, Finding::kFailing, gate.last_failure};
}

// A request that began before the pause may succeed within it.
std::optional<EndpointFinding> EndpointGates::on_success(core::EndpointId endpoint, core::MonoTime now) {
    const auto gate = gates_.find(endpoint);
    if (gate == gates_.end()) return std::nullopt;
    const bool was_open = gate->second.breaker.is_open();
    end_failing(gate, now);
    if (!was_open) return std::nullopt;
    return EndpointFinding{endpoint, Finding::kRecovered};
}

// The pause that the receiver has asked for stays.
void EndpointGates::end_failing(Gates::iterator gate, core::MonoTime now) {
    const core::MonoTime asked_until = gate->second.asked_until;
    if (asked_until <= now) {
        gates_.erase(gate);
    } else {
        gate->second = {};
        gate->second.asked_until = asked_until;
    }
}

void EndpointGates::ask_for_pause(Gate& gate, const core::AttemptResult& result, core::MonoTime now, core::WallTime wall) const {
    if (!core::is_overload(result)) return;
    const auto asked = core::asked_wait(result, wall);
    if (!asked) return;
    gate.asked_until =
        std::max<core::MonoTime>(gate.asked_until, now + std::min<std::chrono::milliseconds>(*asked, kLongestAskedPause));
}

void EndpointGates::open_breaker(core::EndpointId endpoint, core::MonoTime now) { gates_[endpoint].breaker.open(now); }

void EndpointGates::recover_elsewhere(core::EndpointId endpoint, core::MonoTime now) {
    const auto gate = gates_.find(endpoint);
    if (gate == gates_.end() || !gate->second.breaker.is_open()) return;
    if (gate->second.breaker.failures() == 0) return end_failing(gate, now);  // it was open because of the others
    Gate& own = gate->second;
    own.breaker.try_now(now);
    own.failed = false;
    own.keeps_for = std::clamp<std::chrono::milliseconds>(2 * own.keeps_for, policy_.longest_pause, kLongestDisagreement);
    own.keeps_to_itself_until = now + own.keeps_for;
}

bool EndpointGates::is_open(core::EndpointId endpoint) const {
    const auto gate = gates_.find(endpoint);
    return gate != gates_.end() && gate->second.breaker.is_open();
}

std::optional<EndpointFinding> EndpointGates::failing(core::EndpointId endpoint, core::MonoTime now) const {
    const auto gate = gates_.find(endpoint);
    if (gate == gates_.end() || !gate->second.breaker.is_open() || !gate->second.failed) return std::nullopt;
    if (now < gate->second.keeps_to_itself_until) return std::nullopt;
    return EndpointFinding{endpoint, Finding::kFailing, gate->second.last_failure};
}

bool EndpointGates::tries_newest(core::EndpointId endpoint) const {
    const auto gate = gates_.find(endpoint);
    return gate != gates_.end() && gate->second.breaker.tries_newest();
}

std::size_t EndpointGates::most_in_flight(core::EndpointId endpoint, core::MonoTime now) const {
    const auto gate = gates_.find(endpoint);
    if (gate == gates_.end()) return kNoGate;
    if (now < gate->second.closed_until()) return 0;
    return gate->second.breaker.is_open() ? kTries : kNoGate;
}

std::optional<core::MonoTime> EndpointGates::opening(core::EndpointId endpoint, core::MonoTime now) const {
    const auto gate = gates_.find(endpoint);
    if (gate == gates_.end() || gate->second.closed_until() <= now) return std::nullopt;
    return gate->second.closed_until();
}

std::vector<core::EndpointId> EndpointGates::endpoints() const {
    std::vector<core::EndpointId> ids;
    ids.reserve(gates_.size());
    for (const auto& [id, gate] : gates_) ids.push_back(id);
    return ids;
}

std::optional<core::MonoTime> EndpointGates::next_opening(core::MonoTime now) const {
    std::optional<core::MonoTime> next;
    for (const auto& [id, gate] : gates_) {
        const core::MonoTime until = gate.closed_until();
        if (until > now) next = std::min(next.value_or(until), until);
    }
    return next;
}

}  // namespace messaging::engine
