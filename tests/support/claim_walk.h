// Walks the claim model breadth first, through every state within the bounds, and tells the first promise that does not hold.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "support/claim_model.h"

namespace messaging::model {

enum class Promise {
    kNotLost,        // a committed message is sent, queued, scheduled, dead, or claimed by somebody who has it, or can be rescued
    kInOnePlace,     // and in no two of these
    kSentIsNotDead,  // a claim skips what is sent, but the dead are listed and can be sent again
    kFenced,         // the outcome of an engine that has lost its claim changes nothing, unless it is "sent"; sent stays sent
    kOnceUnlessFault,  // nothing is accepted twice unless something died, froze or was lost
    kProgress,         // there is always a way to "all sent or dead" without another fault, or an operator's help
};
std::string to_text(Promise promise);

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

Walk walk(const Bounds& bounds, Mistake mistake = Mistake::kNone);

}  // namespace messaging::model
