// Degradations: tells the observer once when something begins to be degraded, and once when that has ended.
#pragma once

#include <chrono>
#include <set>
#include <string>
#include <utility>

#include "core/message.h"
#include "engine/engine_observer.h"

namespace messaging::engine {

// Loop thread only. The observer must outlive it.
class Degradations {
public:
    // `longest_pause`: between two tries of an endpoint that is failing; for people.
    Degradations(EngineObserver& observer, std::chrono::milliseconds longest_pause)
        : observer_(observer), longest_pause_(longest_pause) {}

    // `unusable`: why the endpoint cannot be used as it was read; empty = it can. `endpoint` is what is in force.
    void endpoint_was_read(const core::Endpoint& endpoint, const std::string& unusable);
    // There is no endpoint of this name any more.
    void endpoint_is_gone(const std::string& name);
    void starting_has_failed(const std::string& detail);
    void starting_is_possible();

private:
    void set(Degradation what, const std::string& endpoint, bool degraded, const std::string& reason);

    EngineObserver& observer_;
    const std::chrono::milliseconds longest_pause_;
    std::set<std::pair<Degradation, std::string>> told_;
};

}  // namespace messaging::engine
