// Moving the floor by what the claims' snapshots have seen.
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

std::optional<QueueFloor::Range> QueueFloor::ended() const {
    if (ended_.empty()) return std::nullopt;
    return Range{QueuePosition{ended_.front()}, ended_.front()};
}

void QueueFloor::ended_was_read(Xid straggler) { std::erase(ended_, straggler); }

void QueueFloor::rest_was_read(const Snapshot& snapshot, std::chrono::microseconds cost) {
    if (snapshot.xmax < floor_) *this = {};  // the transaction numbers have gone back: another server, or a restored one
    const bool first = floor_ == 0;
    floor_ = oldest_running(snapshot, floor_);
    if (first || (snapshot.xmax - floor_ <= kMaxFloorLag && cost <= kSlowClaim)) return;
    const Xid young = snapshot.xmax - std::min(snapshot.xmax, kYoungTransactions);
    const Xid next = oldest_running(snapshot, std::max(floor_, young));
    const auto begin = std::lower_bound(snapshot.running.begin(), snapshot.running.end(), floor_);
    const auto end = std::lower_bound(begin, snapshot.running.end(), next);
    stragglers_.insert(stragglers_.end(), begin, end);
    floor_ = next;
}

void QueueFloor::all_was_read(const Snapshot& snapshot) {
    ended_.clear();
    rest_was_read(snapshot, std::chrono::microseconds(0));
}

void QueueFloor::note(const Snapshot& snapshot) {
    const auto running = std::stable_partition(stragglers_.begin(), stragglers_.end(), [&snapshot](Xid straggler) {
        return std::binary_search(snapshot.running.begin(), snapshot.running.end(), straggler);
    });
    ended_.insert(ended_.end(), running, stragglers_.end());
    stragglers_.erase(running, stragglers_.end());
    std::sort(ended_.begin(), ended_.end());
}

Xid QueueFloor::lowest() const {
    Xid lowest = floor_;
    if (!stragglers_.empty()) lowest = std::min(lowest, stragglers_.front());
    if (!ended_.empty()) lowest = std::min(lowest, ended_.front());
    return lowest;
}

}  // namespace messaging::engine
