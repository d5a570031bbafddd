// Moves the floor according to the snapshots of claims.
#include "engine/queue_floor.h"

#include <algorithm>

namespace messaging::engine {
namespace {

// The oldest transaction from `from` on that was running; where there is none, everything older than the snapshot has ended.
Xid oldest_running(const Snapshot& snapshot, Xid from) {
    const auto found = std::lower_bound(snapshot.running.begin(), snapshot.running.end(), from);
    return found == snapshot.running.end() ? std::max(from, snapshot.xmax) : *found;
}

}  // namespace

std::optional<QueueFloor::Range> QueueFloor::unread() const {
    if (unread_.empty()) return std::nullopt;
    return unread_.front();
}

std::vector<QueueFloor::Range>::iterator QueueFloor::find(Xid until) {
    return std::find_if(unread_.begin(), unread_.end(), [until](const Range& range) { return range.until == until; });
}

void QueueFloor::unread_was_read(Xid until) {
    const auto range = find(until);
    if (range != unread_.end()) unread_.erase(range);
}

void QueueFloor::unread_was_full(Xid until, QueuePosition last) {
    const auto range = find(until);
    if (range == unread_.end()) return;
    range->behind = last;
    std::rotate(range, range + 1, unread_.end());  // the others have their turn
}

// Halves the range, because half of it is read in less time. A range that cannot be halved is tried again after the others.
void QueueFloor::unread_was_too_slow(Xid until) {
    const auto range = find(until);
    if (range == unread_.end()) return;
    const Range whole = *range;
    unread_.erase(range);
    if (whole.behind.xid < whole.until) {
        const Xid middle = whole.behind.xid + (whole.until - whole.behind.xid) / 2;
        unread_.push_back({whole.behind, middle});
        unread_.push_back({QueuePosition{middle + 1}, whole.until});
    } else {
        unread_.push_back(whole);
    }
}

void QueueFloor::rest_was_read(const Snapshot& snapshot, std::chrono::microseconds cost) {
    if (snapshot.xmax < floor_) {
        *this = {};  // the transaction numbers have gone back: another server, or a restored one, of whose queue nothing was read
    } else {
        move(snapshot, cost);
    }
}

void QueueFloor::all_was_read(const Snapshot& snapshot) {
    if (snapshot.xmax < floor_) *this = {};
    unread_.clear();
    move(snapshot, std::chrono::microseconds(0));
}

void QueueFloor::move(const Snapshot& snapshot, std::chrono::microseconds cost) {
    const bool first = floor_ == 0;
    floor_ = oldest_running(snapshot, floor_);
    if (first || (snapshot.xmax - floor_ <= kMaxFloorLag && cost <= kSlowClaim)) return;
    const Xid spared = cost > kVerySlowClaim ? 0 : std::min(snapshot.xmax, kYoungTransactions);
    const Xid next = oldest_running(snapshot, std::max(floor_, snapshot.xmax - spared));
    const auto begin = std::lower_bound(snapshot.running.begin(), snapshot.running.end(), floor_);
    const auto end = std::lower_bound(begin, snapshot.running.end(), next);
    stragglers_.insert(stragglers_.end(), begin, end);
    floor_ = next;
}

void QueueFloor::pass_over(const Snapshot& snapshot) {
    const auto add = [this](Xid first, Xid end) {
        if (first < end) unread_.push_back({QueuePosition{first}, end - 1});
    };
    Xid next = floor_;
    for (auto running = std::lower_bound(snapshot.running.begin(), snapshot.running.end(), floor_);
         running != snapshot.running.end(); ++running) {
        add(next, *running);
        stragglers_.push_back(*running);
        next = *running + 1;
    }
    add(next, snapshot.xmax);
    floor_ = std::max(floor_, snapshot.xmax);
}

void QueueFloor::note(const Snapshot& snapshot) {
    std::erase_if(stragglers_, [this, &snapshot](Xid straggler) {
        if (std::binary_search(snapshot.running.begin(), snapshot.running.end(), straggler)) return false;
        unread_.push_back({QueuePosition{straggler}, straggler});
        return true;
    });
}

Xid QueueFloor::lowest() const {
    Xid lowest = floor_;
    if (!stragglers_.empty()) lowest = std::min(lowest, stragglers_.front());
    for (const Range& range : unread_) lowest = std::min(lowest, range.behind.xid);
    return lowest;
}

}  // namespace messaging::engine
