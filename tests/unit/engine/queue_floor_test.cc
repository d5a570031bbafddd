// Where claims begin to read, and that no transaction's rows are passed over.
#include "engine/queue_floor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <utility>

namespace messaging::engine {
namespace {

constexpr std::chrono::microseconds kQuick{100};

TEST(QueueFloor, BeginsWithTheWholeQueue) {
    const QueueFloor floor;
    EXPECT_EQ(floor.floor(), 0u);
    EXPECT_FALSE(floor.unread());
    EXPECT_EQ(floor.rest().behind.xid, 0u);
    EXPECT_EQ(floor.rest().until, kLastXid);
}

TEST(QueueFloor, IsTheOldestRunningTransactionOrTheNextOne) {
    QueueFloor floor;
    floor.all_was_read({100, {60, 80}});
    EXPECT_EQ(floor.floor(), 60u);
    floor.rest_was_read({110, {80}}, kQuick);
    EXPECT_EQ(floor.floor(), 80u);
    floor.rest_was_read({120, {}}, kQuick);
    EXPECT_EQ(floor.floor(), 120u);
    EXPECT_EQ(floor.lowest(), 120u);
}

TEST(QueueFloor, MovesPastATransactionThatStaysOpen) {
    QueueFloor floor;
    floor.all_was_read({100, {100}});
    floor.rest_was_read({100 + kMaxFloorLag, {100}}, kQuick);
    EXPECT_EQ(floor.floor(), 100u);
    const Xid now = 101 + kMaxFloorLag;
    floor.rest_was_read({now, {100, now - 5}}, kQuick);
    EXPECT_EQ(floor.floor(), now - 5) << "and not past a young one";
    EXPECT_EQ(floor.lowest(), 100u) << "its rows may become ready";
    EXPECT_FALSE(floor.unread());
}

TEST(QueueFloor, MovesPastItWhenAClaimWasSlow) {
    QueueFloor floor;
    floor.all_was_read({100, {100}});
    const Snapshot later{200, {100}};
    floor.rest_was_read(later, kSlowClaim);
    EXPECT_EQ(floor.floor(), 100u);
    floor.rest_was_read(later, kSlowClaim + kQuick);
    EXPECT_EQ(floor.floor(), 200u);
    floor.rest_was_read({250, {100}}, kQuick);
    EXPECT_EQ(floor.floor(), 250u) << "it never goes back to the straggler";
}

TEST(QueueFloor, ReadsAStragglersRowsOnceItHasEnded) {
    QueueFloor floor;
    floor.all_was_read({100, {40, 70}});
    floor.rest_was_read({3000, {40, 70}}, kQuick);
    ASSERT_EQ(floor.floor(), 3000u);
    floor.note({3001, {70}});
    ASSERT_TRUE(floor.unread());
    EXPECT_EQ(floor.unread()->behind.xid, 40u);
    EXPECT_EQ(floor.unread()->until, 40u);
    EXPECT_EQ(floor.lowest(), 40u);
    floor.unread_was_read(40);
    EXPECT_FALSE(floor.unread());
    EXPECT_EQ(floor.lowest(), 70u);
    floor.note({3001, {}});
    floor.all_was_read({3001, {}});
    EXPECT_FALSE(floor.unread()) << "a claim of the whole queue has read its rows";
    EXPECT_EQ(floor.lowest(), 3001u);
}

TEST(QueueFloor, WhereAClaimOfTheRestIsTooSlowItIsReadInParts) {
    QueueFloor floor;
    floor.all_was_read({100, {}});
    floor.pass_over({200, {130, 131, 160}});
    EXPECT_EQ(floor.floor(), 200u);
    const auto expect_next = [&floor](Xid first, Xid until) {
        ASSERT_TRUE(floor.unread());
        EXPECT_EQ(floor.unread()->behind.xid, first);
        EXPECT_EQ(floor.unread()->until, until);
        floor.unread_was_read(until);
    };
    floor.unread_was_too_slow(129);
    expect_next(132, 159);
    expect_next(161, 199);
    expect_next(100, 114);
    floor.unread_was_full(129, {120, 7});
    floor.unread_was_too_slow(129);
    EXPECT_EQ(floor.unread()->behind.id, 7) << "the first half goes on where the last claim ended";
    expect_next(120, 124);
    expect_next(125, 129);
    EXPECT_FALSE(floor.unread()) << "three are still running";
    floor.note({200, {131}});
    expect_next(130, 130);
    floor.unread_was_too_slow(160);
    expect_next(160, 160);
    EXPECT_EQ(floor.lowest(), 131u);
}

// A reader's finding: what came after a burst of 1.5 million waited until the whole burst had been moved, for 22 s.
TEST(QueueFloor, ARangeThatTakesManyClaimsLetsTheOthersHaveTheirTurns) {
    QueueFloor floor;
    floor.all_was_read({100, {}});
    floor.pass_over({200, {}});
    floor.pass_over({300, {}});
    ASSERT_EQ(floor.unread()->until, 199u);
    floor.unread_was_full(199, {150, 7});
    EXPECT_EQ(floor.unread()->until, 299u);
    floor.unread_was_full(299, {200, 9});
    EXPECT_EQ(floor.unread()->until, 199u);
    EXPECT_EQ(floor.unread()->behind.id, 7);
}

TEST(QueueFloor, AVerySlowClaimMovesPastTheYoungestToo) {
    QueueFloor floor;
    floor.all_was_read({100, {100}});
    floor.rest_was_read({102, {100}}, kSlowClaim + kQuick);
    EXPECT_EQ(floor.floor(), 100u);
    floor.rest_was_read({102, {100}}, kVerySlowClaim + kQuick);
    EXPECT_EQ(floor.floor(), 102u);
}

TEST(QueueFloor, BeginsAgainWhereTransactionNumbersHaveGoneBack) {
    QueueFloor floor;
    floor.all_was_read({100, {40}});
    floor.rest_was_read({3000, {40}}, kQuick);
    floor.rest_was_read({50, {45}}, kQuick);
    EXPECT_EQ(floor.floor(), 0u) << "of the lower numbers nothing was read";
    EXPECT_FALSE(floor.unread());
    floor.all_was_read({3000, {40}});
    floor.all_was_read({50, {45}});
    EXPECT_EQ(floor.floor(), 45u);
    EXPECT_EQ(floor.lowest(), 45u);
}

// A queue with many transactions, and claims with a limit, as Claimer makes them. Rows become visible at their commit only.
class Simulation {
public:
    Simulation(unsigned seed, bool full_scans) : random_(seed), full_scans_(full_scans) {}

    void run(int steps) {
        for (int i = 0; i < steps; ++i) {
            switch (pick(8)) {
                case 0:
                case 1: begin(); break;
                case 2: pass_by(pick(3000)); break;
                case 3:
                case 4: end_one(); break;
                default: claim();
            }
        }
        full_scans_ = false;  // they would find what was passed over
        while (!running_.empty()) end_one();
        for (int i = 0; i < 3000; ++i) claim();
    }
    std::size_t left() const { return visible_.size(); }
    bool moved_past_some() const { return stragglers_ > 0; }

private:
    unsigned pick(unsigned below) { return std::uniform_int_distribution<unsigned>(0, below - 1)(random_); }
    void begin() { running_[next_++] = pick(40); }
    void pass_by(unsigned transactions) { next_ += transactions; }
    void end_one() {
        if (running_.empty()) return;
        const auto one = std::next(running_.begin(), pick(static_cast<unsigned>(running_.size())));
        const bool commits = pick(5) > 0;
        for (unsigned id = 0; commits && id < one->second; ++id) visible_.insert({one->first, ++last_id_});
        running_.erase(one);
    }
    void claim() {
        Snapshot snapshot{next_, {}};
        for (const auto& [xid, rows] : running_) snapshot.running.push_back(xid);
        if (pick(30) == 0) {  // a claim of the rest was too slow
            floor_.note(snapshot);
            floor_.pass_over(snapshot);
            full_until_.reset();
            return;
        }
        const bool whole = floor_.floor() == 0 || (full_scans_ && pick(50) == 0);
        const bool unread = !whole && floor_.unread() && pick(2) == 0;
        QueueFloor::Range range;
        if (unread) range = *floor_.unread();
        if (!whole && !unread) range = {full_until_.value_or(floor_.rest().behind), kLastXid};
        if (unread && pick(5) == 0) {
            floor_.unread_was_too_slow(range.until);
            return;
        }
        const std::size_t limit = 1 + pick(60);
        std::size_t taken = 0;
        QueuePosition last;
        for (auto row = visible_.upper_bound({range.behind.xid, range.behind.id}); row != visible_.end() && taken < limit;) {
            if (row->first > range.until) break;
            last = {row->first, row->second};
            row = visible_.erase(row);
            ++taken;
        }
        floor_.note(snapshot);
        if (floor_.lowest() < floor_.floor()) ++stragglers_;
        if (taken == limit) {
            if (unread) {
                floor_.unread_was_full(range.until, last);
            } else {
                full_until_ = last;
            }
        } else if (whole) {
            full_until_.reset();
            floor_.all_was_read(snapshot);
        } else if (unread) {
            floor_.unread_was_read(range.until);
        } else if (!std::exchange(full_until_, std::nullopt)) {
            floor_.rest_was_read(snapshot, kQuick * pick(300));
        }
    }

    std::mt19937 random_;
    bool full_scans_;
    QueueFloor floor_;
    std::optional<QueuePosition> full_until_;
    std::map<Xid, unsigned> running_;  // with the number of rows
    std::set<std::pair<Xid, core::MessageId>> visible_;
    Xid next_ = 1000;
    core::MessageId last_id_ = 0;
    int stragglers_ = 0;
};

TEST(QueueFloor, NoRowIsPassedOver) {
    int with_stragglers = 0;
    for (unsigned seed = 0; seed < 300; ++seed) {
        Simulation simulation(seed, seed % 3 == 0);
        simulation.run(400);
        EXPECT_EQ(simulation.left(), 0u) << "seed " << seed;
        with_stragglers += simulation.moved_past_some() ? 1 : 0;
    }
    EXPECT_GT(with_stragglers, 200);
}

}  // namespace
}  // namespace messaging::engine
