// QueueFloor: the place where claims begin to read the queue. So they do not read the dead entries of earlier claims.
#pragma once

#include <chrono>
#include <optional>
#include <vector>

#include "engine/queue_position.h"

namespace messaging::engine {

// The floor moves past an open transaction when kMaxFloorLag newer transactions have begun, or when a claim took longer than
// kSlowClaim. Such a claim has read the entries that were claimed since (about 0.2 us for each).
inline constexpr Xid kMaxFloorLag = 2000;
inline constexpr std::chrono::microseconds kSlowClaim{2000};
// The floor does not move past the newest transactions, because most of them end soon and each one that it moves past costs a
// claim. A claim that took longer than kVerySlowClaim is the exception.
inline constexpr Xid kYoungTransactions = 64;
inline constexpr std::chrono::microseconds kVerySlowClaim{20000};

// Loop thread only. The rows that no claim has read yet are the rows at or above the floor, the unread ranges, and the rows of
// the stragglers. A straggler is a transaction below the floor that was still running in the last snapshot. Once it has ended,
// its rows become an unread range. (PostgreSQL's snapshots and _queue.xid both name top-level transactions only.) The full scan
// finds rows that another engine had locked in a claim that was rolled back. docs/claim-protocol.md, "The floor and the full
// scan".
class QueueFloor {
public:
    // The rows of a claim: behind the position `behind`, and of transactions up to `until`.
    struct Range {
        QueuePosition behind;
        Xid until = kLastXid;
    };

    // The next unread range, if there is one. No two ranges have the same `until`: it identifies the range in the calls below.
    std::optional<Range> unread() const;
    // The rows from the floor on.
    Range rest() const { return {QueuePosition{floor_}, kLastXid}; }

    // A claim of an unread range has taken less than its limit; was full and ended at `last`; could not end in time.
    void unread_was_read(Xid until);
    void unread_was_full(Xid until, QueuePosition last);
    void unread_was_too_slow(Xid until);
    // A claim of rest()'s range, or of the whole queue, has taken less than its limit.
    void rest_was_read(const Snapshot& snapshot, std::chrono::microseconds cost);
    void all_was_read(const Snapshot& snapshot);
    // A claim of rest()'s range could not end in time. Its rows become unread ranges between the running transactions.
    void pass_over(const Snapshot& snapshot);
    // Any claim's snapshot: stragglers may have ended.
    void note(const Snapshot& snapshot);

    // 0: the next claim reads the whole queue.
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
