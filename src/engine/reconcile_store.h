// ReconcileStore: one round of reconcile in the database. A port; repository implements it.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>

#include "core/completion.h"

namespace messaging::engine {

struct ReconcileRound {
    std::size_t found = 0;                     // messages that were in no place and are queued now
    std::chrono::milliseconds wait{0};         // until the next round may have something to do
    std::chrono::milliseconds cost{0};         // of this round, in PostgreSQL
    std::optional<std::chrono::seconds> walk;  // the duration of the last walk, pauses included
};

// Loop thread only.
class ReconcileStore {
public:
    virtual ~ReconcileStore() = default;
    // Runs one round. All processes share one walk, whose pace is in the database. A call during another process's round does
    // nothing.
    virtual void reconcile(int max_rows, core::Completion<ReconcileRound> done) = 0;
};

}  // namespace messaging::engine
