// QueuePosition: a place in the queue.
#pragma once

#include <cstdint>
#include <limits>

#include "core/message.h"

namespace messaging::engine {

// PostgreSQL's xid8 as text is carried as a number: a row below the floor is ready only if a claim that had locked it was rolled
// back; the full scan finds it.
using Floor = std::uint64_t;

// A place in the queue, which is in the order of (xid, id).
struct QueuePosition {
    Floor xid = 0;
    core::MessageId id = std::numeric_limits<core::MessageId>::min();
};

}  // namespace messaging::engine
