// Paths through the claim model for those who take them with something else than the model.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "model/claim_model.h"

namespace messaging::model {

using Path = std::vector<Step>;  // from the empty state

// The shortest paths that bring, together, each step once into each situation that exists within the bounds. A situation is what
// the step can see: the messages, claims and outcomes it is about, and how their owner stands; not what else there is beside
// them.
std::vector<Path> paths_to_situations(const Bounds& bounds, Mistakes mistakes = {});

// Every next step by chance; the same seed gives the same path. Ends early where nothing can happen any more.
Path random_path(const Bounds& bounds, std::size_t length, std::uint64_t seed, Mistakes mistakes = {});

}  // namespace messaging::model
