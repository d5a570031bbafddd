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
// The newest transactions are not moved past, unless one has written so much that a claim was very slow. Most of them end soon,
// and each one that is moved past costs a claim of its own.
inline constexpr Xid kYoungTransactions = 64;
inline constexpr std::chrono::microseconds kVerySlowClaim{20000};

// Loop thread only. What no claim has read yet is: the rows at or above the floor, the unread ranges, and the rows of the
// stragglers. A straggler is a transaction below the floor that was still running in the last snapshot; once it has ended, its
// rows are an unread range. (PostgreSQL's snapshots name top-level transactions, and so does _queue.xid.) Rows that another
// engine had locked, and rolled back, are left to the full scan. docs/claim-protocol.md, "The floor and the full scan".
class QueueFloor {
public:
    // A claim's rows: behind `behind`, and of transactions up to `until`.
    struct Range {
        QueuePosition behind;
        Xid until = kLastXid;
    };

    // The next unread range; nothing while there is none. No two have the same `until`, so it names the range in the calls below.
    std::optional<Range> unread() const;
    // From the floor on.
    Range rest() const { return {QueuePosition{floor_}, kLastXid}; }

    // What a claim of an unread range led to: it took less than its limit; it was full and ended at `last`; it could not end in
    // time.
    void unread_was_read(Xid until);
    void unread_was_full(Xid until, QueuePosition last);
    void unread_was_too_slow(Xid until);
    // A claim of rest()'s range, or of the whole queue, that took less than its limit.
    void rest_was_read(const Snapshot& snapshot, std::chrono::microseconds cost);
    void all_was_read(const Snapshot& snapshot);
    // A claim of rest()'s range could not end in time: what it would have read becomes unread ranges around the running
    // transactions.
    void pass_over(const Snapshot& snapshot);
    // Any claim's snapshot: stragglers may have ended.
    void note(const Snapshot& snapshot);

    // Zero: nothing is known, and the next claim reads the whole queue.
    Xid floor() const { return floor_; }
    // No unread row is below it, and none will be, except rows that another engine had locked and rolled back.
    Xid lowest() const;

private:
    void move(const Snapshot& snapshot, std::chrono::microseconds cost);
    std::vector<Range>::iterator find(Xid until);

    Xid floor_ = 0;
    std::vector<Xid> stragglers_;  // sorted, all below the floor
    std::vector<Range> unread_;    // all below the floor
};

}  // namespace messaging::engine
