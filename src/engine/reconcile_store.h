// ReconcileStore: one round of reconcile in the database. A port; repository implements it.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>

#include "core/completion.h"

namespace messaging::engine {

struct ReconcileRound {
    std::size_t found = 0;                     // were in no place, and are queued now
    std::chrono::milliseconds wait{0};         // until the next round may have something to do
    std::chrono::milliseconds cost{0};         // of this round, in PostgreSQL
    std::optional<std::chrono::seconds> walk;  // how long the last whole walk took, its rests included
};

// Loop thread only.
class ReconcileStore {
public:
    virtual ~ReconcileStore() = default;
    // Once, later. The database sets the pace: all processes share one walk, and a call during another process's round finds
    // nothing to do.
    virtual void reconcile(int max_rows, core::Completion<ReconcileRound> done) = 0;
};

}  // namespace messaging::engine
