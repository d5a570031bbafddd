// ReplayRounds: one round of the replays in the database. A port; repository implements it.
#pragma once

#include <chrono>
#include <cstddef>

#include "core/completion.h"

namespace messaging::engine {

struct ReplayRound {
    std::size_t replayed = 0;           // messages that were sent again
    std::size_t running = 0;            // replays that have not ended
    std::chrono::milliseconds wait{0};  // until the next round may have something to do
};

// Loop thread only.
class ReplayRounds {
public:
    virtual ~ReplayRounds() = default;
    // Runs one round: one batch of one replay. All processes share the replays and their pace, which are in the database. A call
    // during another process's round does nothing.
    virtual void run_round(core::Completion<ReplayRound> done) = 0;
};

}  // namespace messaging::engine
