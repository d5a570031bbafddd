// DoorbellStore: the advisory lock of the doorbell (docs/claim-protocol.md). A port; repository implements it.
#pragma once

#include "core/completion.h"

namespace messaging::engine {

enum class SleepAnswer {
    kGranted,        // the lock is ours: every inserter that skipped its NOTIFY has ended, and its rows are visible
    kInsertersOpen,  // a transaction that skipped its NOTIFY is still open
    kHeldByPeer,     // another engine sleeps with the lock: every inserter notifies
};

// Loop thread only; on the listen session.
class DoorbellStore {
public:
    virtual ~DoorbellStore() = default;
    virtual void try_to_sleep(core::Completion<SleepAnswer> done) = 0;
    virtual void wake_up(core::Completion<core::Unit> done) = 0;
    // Wakes every engine that sleeps.
    virtual void wake_peers(core::Completion<core::Unit> done) = 0;
};

}  // namespace messaging::engine
