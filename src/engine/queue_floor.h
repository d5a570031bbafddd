// QueueFloor: where claims begin to read the queue, so that they need not walk over the entries of earlier claims.
#pragma once

#include <chrono>
#include <optional>
#include <vector>

#include "engine/queue_position.h"

namespace messaging::engine {

// The floor moves past a transaction that stays open when so many others have begun since, or when a claim from the floor on took
// so long: it has walked over what was claimed since (about 0.2 us for each entry).
inline constexpr Xid kMaxFloorLag = 2000;
inline constexpr std::chrono::microseconds kSlowClaim{2000};
// The newest transactions are not moved past. Most of them end soon, and each one that is moved past costs a claim of its own.
inline constexpr Xid kYoungTransactions = 64;

// Loop thread only. These rows no claim has read yet: the rows at or above the floor, the rows of the stragglers, and the rows
// of the ended stragglers. A straggler is a transaction below the floor that was still running in the last snapshot; its rows
// become visible when it commits. (PostgreSQL's snapshots name top-level transactions, and so does _queue.xid.) Rows that
// another engine had locked, and rolled back, are left to the full scan. docs/claim-protocol.md, "The floor and the full scan".
class QueueFloor {
public:
    // The next claim's rows: behind `behind`, and of transactions up to `until`.
    struct Range {
        QueuePosition behind;
        Xid until = kLastXid;
    };

    // The rows of the ended stragglers, one straggler after the other; nothing while there are none.
    std::optional<Range> ended() const;
    // From the floor on.
    Range rest() const { return {QueuePosition{floor_}, kLastXid}; }

    // A claim of this ended straggler's rows that took less than its limit.
    void ended_was_read(Xid straggler);
    // A claim of rest()'s range, or of the whole queue, that took less than its limit.
    void rest_was_read(const Snapshot& snapshot, std::chrono::microseconds cost);
    void all_was_read(const Snapshot& snapshot);
    // Any claim's snapshot: stragglers may have ended.
    void note(const Snapshot& snapshot);

    // Zero: nothing is known, and the next claim reads the whole queue.
    Xid floor() const { return floor_; }
    // No ready row is below it, and none will be.
    Xid lowest() const;

private:
    Xid floor_ = 0;
    std::vector<Xid> stragglers_;  // sorted, all below the floor
    std::vector<Xid> ended_;       // sorted, all below the floor
};

}  // namespace messaging::engine
