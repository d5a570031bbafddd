// Where claims begin to read, and that no transaction's rows are passed over.
#include "engine/queue_floor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

namespace messaging::engine {
namespace {

constexpr std::chrono::microseconds kQuick{100};

TEST(QueueFloor, BeginsWithTheWholeQueue) {
    const QueueFloor floor;
    EXPECT_EQ(floor.floor(), 0u);
    EXPECT_FALSE(floor.ended());
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
    EXPECT_FALSE(floor.ended());
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
    ASSERT_TRUE(floor.ended());
    EXPECT_EQ(floor.ended()->behind.xid, 40u);
    EXPECT_EQ(floor.ended()->until, 40u);
    EXPECT_EQ(floor.lowest(), 40u);
    floor.ended_was_read(40);
    EXPECT_FALSE(floor.ended());
    EXPECT_EQ(floor.lowest(), 70u);
    floor.note({3001, {}});
    floor.all_was_read({3001, {}});
    EXPECT_FALSE(floor.ended()) << "a claim of the whole queue has read its rows";
    EXPECT_EQ(floor.lowest(), 3001u);
}

TEST(QueueFloor, BeginsAgainWhereTransactionNumbersHaveGoneBack) {
    QueueFloor floor;
    floor.all_was_read({100, {40}});
    floor.rest_was_read({3000, {40}}, kQuick);
    floor.rest_was_read({50, {45}}, kQuick);
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
        for (int i = 0; i < 1000; ++i) claim();
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
        const bool whole = floor_.floor() == 0 || (full_scans_ && pick(50) == 0);
        const bool went_on = !whole && unfinished_;
        QueueFloor::Range range;
        if (!whole) range = went_on ? *unfinished_ : floor_.ended().value_or(floor_.rest());
        const std::size_t limit = 1 + pick(60);
        std::size_t taken = 0;
        std::pair<Xid, core::MessageId> last;
        for (auto row = visible_.upper_bound({range.behind.xid, range.behind.id}); row != visible_.end() && taken < limit;) {
            if (row->first > range.until) break;
            last = *row;
            row = visible_.erase(row);
            ++taken;
        }
        floor_.note(snapshot);
        if (taken == limit) {
            unfinished_ = QueueFloor::Range{{last.first, last.second}, range.until};
            return;
        }
        unfinished_.reset();
        if (whole) {
            floor_.all_was_read(snapshot);
        } else if (range.until != kLastXid) {
            floor_.ended_was_read(range.until);
        } else if (!went_on) {
            floor_.rest_was_read(snapshot, pick(10) == 0 ? kSlowClaim * 2 : kQuick);
        }
        if (floor_.lowest() < floor_.floor()) ++stragglers_;
    }

    std::mt19937 random_;
    bool full_scans_;
    QueueFloor floor_;
    std::optional<QueueFloor::Range> unfinished_;
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
