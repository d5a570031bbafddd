// Walks the claim model breadth first, through every state within the bounds, and tells the first promise that does not hold.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "model/claim_promises.h"

namespace messaging::model {

struct Breach {
    Promise promise;
    std::vector<Step> path;  // the shortest one
    State state;
};

struct Walk {
    std::size_t states = 0;
    std::size_t steps = 0;
    std::optional<Breach> breach;
};

// Ends at the first breach, of one promise alone where `only` names it.
Walk walk(const Bounds& bounds, Mistakes mistakes = {}, std::optional<Promise> only = std::nullopt);

}  // namespace messaging::model
