// A simulation with fake time: thousands of ready and due messages, claims that take time and sometimes fail, and how long each
// message waits until it is claimed. endpoint_fairness_test.cc has what endpoints do to each other.
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <set>
#include <vector>

#include "core/completion.h"
#include "engine/claim_store.h"
#include "engine/claimer.h"
#include "support/fake_ports.h"
#include "support/fake_time.h"
#include "support/fixed_random.h"

namespace messaging::engine {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// A database in memory: each statement is answered after `cost`.
class SimulatedStore : public test::FakeEngineStores {
public:
    explicit SimulatedStore(test::FakeTime& time) : time_(time) {}

    void claim_ready(const ClaimRequest& request, core::Completion<ClaimBatch> done) override {
        later([this, limit = request.limit, done = std::move(done)] {
            if (ready_fails) return done(core::Error{core::ErrorKind::kTimeout, "slow", "57014"});
            ClaimBatch batch;
            while (!ready_ids.empty() && batch.taken < static_cast<std::size_t>(limit)) take(batch, ready_ids);
            batch.snapshot.xmax = 1;
            batch.last = {1, batch.taken > 0 ? batch.deliveries.back().id : 0};
            done(std::move(batch));
        });
    }
    void claim_due(const ClaimRequest& request, core::Completion<ClaimBatch> done) override {
        later([this, limit = request.limit, done = std::move(done)] {
            if (due_fails) return done(core::Error{core::ErrorKind::kTimeout, "slow", "57014"});
            ClaimBatch batch;
            while (!due_ids.empty() && batch.taken < static_cast<std::size_t>(limit)) take(batch, due_ids);
            if (batch.taken == static_cast<std::size_t>(limit)) batch.next_due = milliseconds(0);
            done(std::move(batch));
        });
    }
    void claim_held(const ClaimRequest&, core::Completion<ClaimBatch> done) override {
        later([done = std::move(done)] { done(ClaimBatch{}); });
    }
    void reschedule_orphans(core::InstanceId, std::vector<core::ClaimId>, std::vector<core::MessageId>,
                            core::Completion<OrphanCount> done) override {
        later([this, done = std::move(done)] {
            if (orphans_fail) return done(core::Error{core::ErrorKind::kTimeout, "slow", "57014"});
            done(OrphanCount{});
        });
    }

    milliseconds cost{5};
    bool due_fails = false;
    bool ready_fails = false;
    bool orphans_fail = false;
    std::deque<core::MessageId> ready_ids;
    std::deque<core::MessageId> due_ids;

private:
    static void take(ClaimBatch& batch, std::deque<core::MessageId>& from) {
        batch.deliveries.push_back(test::delivery(from.front()));
        from.pop_front();
        ++batch.taken;
    }
    void later(std::function<void()> answer) {
        answer_ = std::move(answer);
        if (!timer_) timer_ = time_.make_timer([this] { std::exchange(answer_, nullptr)(); });
        timer_->start(cost);
    }
    test::FakeTime& time_;
    std::function<void()> answer_;
    std::unique_ptr<loop::Timer> timer_;
};

class Fairness : public testing::Test {
protected:
    // Runs so long. Each millisecond 20 messages are sent (so that there is capacity for as many), and one ready message is
    // inserted each 10 ms; answers how long the inserted ones waited to be claimed, the longest first.
    std::vector<milliseconds> run(milliseconds lasting) {
        if (claimer_.idle()) claimer_.set_active(true);
        std::vector<milliseconds> waits;
        for (milliseconds passed{0}; passed < lasting; passed += milliseconds(1)) {
            if (passed.count() % 10 == 0) {
                inserted_[next_] = time_.mono();
                store_.ready_ids.push_back(next_++);
                claimer_.poll();
            }
            if (passed.count() % 1000 == 999) claimer_.poll_all();
            time_.advance(milliseconds(1));
            in_memory_ -= std::min<std::size_t>(in_memory_, 20);
            claimer_.on_capacity();
        }
        for (const auto& [id, at] : inserted_) {
            const auto claimed = claimed_.find(id);
            const core::MonoTime until = claimed == claimed_.end() ? time_.mono() : claimed->second;
            waits.push_back(std::chrono::duration_cast<milliseconds>(until - at));
        }
        std::sort(waits.rbegin(), waits.rend());
        return waits;
    }

    static constexpr std::size_t kCapacity = 1024;
    test::FakeTime time_;
    test::FixedRandom random_{0.5};
    SimulatedStore store_{time_};
    test::FakeObserver observer_;
    std::size_t in_memory_ = 0;
    core::MessageId next_ = 1'000'000;  // of the messages that are watched
    std::map<core::MessageId, core::MonoTime> inserted_;
    std::map<core::MessageId, core::MonoTime> claimed_;
    std::size_t due_claimed_ = 0;
    Claimer claimer_{store_,
                     time_,
                     time_,
                     random_,
                     observer_,
                     kMaxClaim,
                     {.instance_id = [] { return 5; },
                      .capacity = [this] { return in_memory_ > kCapacity / 2 ? 0 : kCapacity - in_memory_; },
                      .held_capacities = [] { return std::vector<core::EndpointCapacity>{}; },
                      .other_held_capacity = [] { return 8; },
                      .known_claims = [] { return std::vector<core::ClaimId>{}; },
                      .messages_in_memory = [] { return std::vector<core::MessageId>{}; },
                      .on_claimed =
                          [this](const std::vector<core::Delivery>& deliveries) {
                              in_memory_ += deliveries.size();
                              for (const core::Delivery& delivery : deliveries) {
                                  claimed_[delivery.id] = time_.mono();
                                  if (delivery.id < 1'000'000) ++due_claimed_;
                              }
                          },
                      .on_stopped = [] {},
                      .on_idle = [] {},
                      .on_found = [](std::size_t, bool) {},
                      .on_overload = [] {}}};
};

// Regression: 100,000 overdue messages went before each new one.
TEST_F(Fairness, ANewMessageDoesNotWaitForAHundredThousandDueOnes) {
    for (core::MessageId id = 0; id < 100'000; ++id) store_.due_ids.push_back(id);
    const auto waits = run(seconds(3));
    EXPECT_LE(waits.front(), milliseconds(120)) << "a full claim of due ones, and until there is capacity";
    EXPECT_GT(due_claimed_, 30'000u) << "and the due ones are claimed as fast as they can be sent";
}

TEST_F(Fairness, ADueMessageDoesNotWaitForAHundredThousandReadyOnes) {
    for (core::MessageId id = 2'000'000; id < 2'100'000; ++id) store_.ready_ids.push_back(id);
    for (core::MessageId id = 0; id < 10; ++id) store_.due_ids.push_back(id);
    run(milliseconds(200));
    EXPECT_EQ(due_claimed_, 10u);
}

TEST_F(Fairness, DueClaimsThatFailDelayNoNewMessage) {
    store_.due_fails = true;
    for (core::MessageId id = 0; id < 1000; ++id) store_.due_ids.push_back(id);
    EXPECT_LE(run(seconds(5)).front(), milliseconds(20));
    store_.due_fails = false;
    run(seconds(3));
    EXPECT_EQ(due_claimed_, 1000u) << "and they are claimed when it ends";
}

TEST_F(Fairness, OrphanChecksThatFailDelayNoNewMessage) {
    store_.orphans_fail = true;
    EXPECT_LE(run(seconds(5)).front(), milliseconds(20));
}

TEST_F(Fairness, ReadyClaimsThatFailDelayNoDueMessage) {
    store_.ready_fails = true;
    for (core::MessageId id = 0; id < 1000; ++id) store_.due_ids.push_back(id);
    run(seconds(2));
    EXPECT_EQ(due_claimed_, 1000u);
    store_.ready_fails = false;
    run(seconds(2));
    EXPECT_TRUE(store_.ready_ids.empty());
}

}  // namespace
}  // namespace messaging::engine
