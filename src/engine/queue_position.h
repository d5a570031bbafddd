// QueuePosition: a place in the queue. Snapshot: which transactions a claim could see.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "core/message.h"

namespace messaging::engine {

// PostgreSQL's xid8, which never wraps around.
using Xid = std::uint64_t;
inline constexpr Xid kLastXid = std::numeric_limits<Xid>::max();

// A place in the queue, which is in the order of (xid, id).
struct QueuePosition {
    Xid xid = 0;
    core::MessageId id = std::numeric_limits<core::MessageId>::min();
};

// pg_current_snapshot(): a transaction had ended if its number is below xmax and not among the running ones.
struct Snapshot {
    Xid xmax = 0;
    std::vector<Xid> running;  // sorted
};

}  // namespace messaging::engine
