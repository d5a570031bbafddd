// The sentences, and what the observer has been told of.
#include "engine/degradations.h"

namespace messaging::engine {

void Degradations::endpoint_was_read(const core::Endpoint& endpoint, const std::string& unusable) {
    set(Degradation::kBacklogged, endpoint.name, endpoint.state == core::EndpointState::kBacklogged && endpoint.unusable.empty(),
        "messages for it come faster than it takes them, or were kept while it was disabled; they wait in the hold, and "
        "other endpoints are not affected");
    set(Degradation::kFailing, endpoint.name, endpoint.state == core::EndpointState::kFailing,
        "nothing but failures; its messages wait in the hold, one is tried after each pause of at most " +
            std::to_string(longest_pause_ / std::chrono::seconds(1)) + " s, and other endpoints are not affected");
    set(Degradation::kSigning, endpoint.name, !unusable.empty(),
        unusable + (endpoint.unusable.empty() ? "; it is used as it was before" : "; its messages wait in the hold") +
            ", and other endpoints are not affected");
}

void Degradations::endpoint_is_gone(const std::string& name) {
    for (const Degradation what : {Degradation::kBacklogged, Degradation::kFailing, Degradation::kSigning})
        set(what, name, false, "");
}

void Degradations::starting_has_failed(const std::string& detail) {
    set(Degradation::kStarting, "", true, detail + "; requests that could not be started are postponed, and no attempt is used");
}

void Degradations::starting_is_possible() { set(Degradation::kStarting, "", false, ""); }

void Degradations::set(Degradation what, const std::string& endpoint, bool degraded, const std::string& reason) {
    if (degraded && told_.emplace(what, endpoint).second) observer_.on_degraded(what, endpoint, reason);
    if (!degraded && told_.erase({what, endpoint}) > 0) observer_.on_recovered(what, endpoint);
}

}  // namespace messaging::engine
