// A simulation with fake time of an engine's claimer and dispatcher: endpoints with long backlogs, fast, slow or silent ones, and
// how long the messages of another endpoint wait beside them. The database and the receivers are the simplest that will do.
#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <set>

#include "engine/claimer.h"
#include "engine/dispatcher.h"
#include "support/fake_ports.h"
#include "support/fake_time.h"
#include "support/fixed_random.h"

namespace messaging::engine {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kNever{-1};

// Queue, hold and the endpoints' states. Each statement is answered after 5 ms.
class SimulatedTables : public test::FakeEngineStores {
public:
    explicit SimulatedTables(test::FakeTime& time) : time_(time) {}

    void set_content(std::string content) { content_ = std::move(content); }
    core::MessageId insert(core::EndpointId endpoint) {
        const core::MessageId id = ++last_id_;
        queue_.push_back({id, endpoint, transaction_});
        return id;
    }
    void commit() { ++transaction_; }
    void move_to_hold(core::EndpointId endpoint, core::MessageId id) {
        hold_[endpoint].insert(id);
        held_.insert(endpoint);
    }
    std::size_t held() const {
        std::size_t sum = 0;
        for (const auto& [endpoint, ids] : hold_) sum += ids.size();
        return sum;
    }

    void claim_ready(const ClaimRequest& request, core::Completion<ClaimBatch> done) override {
        later([this, request, done = std::move(done)] {
            ClaimBatch batch;
            batch.snapshot.xmax = ++transaction_;
            auto row = queue_.begin();
            while (row != queue_.end() && row->transaction <= request.until && batch.taken < as_size(request.limit)) {
                const bool behind = row->transaction > request.behind.xid ||
                                    (row->transaction == request.behind.xid && row->id > request.behind.id);
                if (!behind) {
                    ++row;
                    continue;
                }
                ++batch.taken;
                batch.last = {row->transaction, row->id};
                if (held_.contains(row->endpoint)) {
                    hold_[row->endpoint].insert(row->id);
                    batch.holding = true;
                } else {
                    batch.deliveries.push_back(test::delivery(row->id, row->endpoint));
                    batch.deliveries.back().content = content_;
                }
                row = queue_.erase(row);
            }
            done(std::move(batch));
        });
    }
    void claim_due(const ClaimRequest&, core::Completion<ClaimBatch> done) override {
        later([this, done = std::move(done)] {
            ClaimBatch batch;
            batch.holding = !held_.empty();
            done(std::move(batch));
        });
    }
    void claim_held(const ClaimRequest& request, core::Completion<ClaimBatch> done) override {
        later([this, request, done = std::move(done)] {
            ClaimBatch batch;
            std::vector<core::EndpointId> turns(held_.upper_bound(request.after), held_.end());
            turns.insert(turns.end(), held_.begin(), held_.upper_bound(request.after));
            for (const core::EndpointId endpoint : turns) claim_of(endpoint, request, batch);
            done(std::move(batch));
        });
    }
    void reschedule_orphans(core::InstanceId, std::vector<core::ClaimId>, std::vector<core::MessageId>,
                            core::Completion<OrphanCount> done) override {
        later([done = std::move(done)] { done(OrphanCount{}); });
    }

private:
    struct Row {
        core::MessageId id;
        core::EndpointId endpoint;
        Xid transaction;
    };
    static std::size_t as_size(int number) { return static_cast<std::size_t>(number); }
    void claim_of(core::EndpointId endpoint, const ClaimRequest& request, ClaimBatch& batch) {
        core::EndpointCapacity wanted{endpoint, request.other_capacity};
        for (const core::EndpointCapacity& known : request.capacities) {
            if (known.endpoint == endpoint) wanted = known;
        }
        int room = wanted.capacity;
        std::set<core::MessageId>& ids = hold_[endpoint];
        if (room > 0 && ids.empty()) held_.erase(endpoint);
        for (; room > 0 && !ids.empty() && batch.taken < as_size(request.limit); --room) {
            ++batch.taken;
            const auto next = wanted.newest_first ? std::prev(ids.end()) : ids.begin();
            batch.deliveries.push_back(test::delivery(*next, endpoint));
            batch.deliveries.back().was_held = true;
            batch.deliveries.back().content = content_;
            ids.erase(next);
        }
    }
    void later(std::function<void()> answer) {
        answer_ = std::move(answer);
        if (!timer_) timer_ = time_.make_timer([this] { std::exchange(answer_, nullptr)(); });
        timer_->start(milliseconds(5));
    }

    test::FakeTime& time_;
    std::string content_;
    std::deque<Row> queue_;
    std::map<core::EndpointId, std::set<core::MessageId>> hold_;
    std::set<core::EndpointId> held_;
    core::MessageId last_id_ = 0;
    Xid transaction_ = 1000;
    std::function<void()> answer_;
    std::unique_ptr<loop::Timer> timer_;
};

// Answers 200, or 500 to the messages that it never takes, after each endpoint's time; kNever = after a time-out of 30 s, without
// an answer.
class SimulatedReceivers : public Sender {
public:
    explicit SimulatedReceivers(test::FakeTime& time) : time_(time) {}

    void start_attempt(const core::Delivery& delivery, const core::Endpoint& endpoint,
                       std::function<void(core::AttemptResult)> done) override {
        const milliseconds takes = takes_[endpoint.id];
        core::AttemptResult result;
        result.status = takes == kNever ? 0 : never_taken_.contains(delivery.id) ? 500 : 200;
        result.fault = takes == kNever ? core::AttemptFault::kTimeout : core::AttemptFault::kNone;
        result.duration = takes == kNever ? seconds(30) : takes;
        const core::MonoTime at = time_.mono() + result.duration;
        answers_.emplace(at, [this, id = delivery.id, done = std::move(done), result] {
            if (result.status == 200) sent_[id] = time_.mono();
            done(result);
        });
    }
    void answer_what_is_due() {
        while (!answers_.empty() && answers_.begin()->first <= time_.mono()) {
            const auto answer = std::move(answers_.begin()->second);
            answers_.erase(answers_.begin());
            answer();
        }
    }
    void set(core::EndpointId endpoint, milliseconds takes) { takes_[endpoint] = takes; }
    void never_take(core::MessageId id) { never_taken_.insert(id); }
    const std::map<core::MessageId, core::MonoTime>& sent() const { return sent_; }

private:
    test::FakeTime& time_;
    std::map<core::EndpointId, milliseconds> takes_;
    std::set<core::MessageId> never_taken_;
    std::multimap<core::MonoTime, std::function<void()>> answers_;
    std::map<core::MessageId, core::MonoTime> sent_;
};

class EndpointFairness : public testing::Test {
protected:
    // Endpoints 1 to `count` take so long for each request, and the good one, which is the last, takes 5 ms.
    void start(core::EndpointId count, milliseconds takes, core::EndpointState state = core::EndpointState::kActive) {
        good_ = count + 1;
        for (core::EndpointId id = 1; id <= good_; ++id) {
            endpoints_.push_back(test::endpoint(id, 64));
            if (id < good_) endpoints_.back().state = state;
            receivers_.set(id, id == good_ ? milliseconds(5) : takes);
        }
        dispatcher_.set_endpoints(endpoints_);
        claimer_.set_active(true);
    }
    // From now on run() inserts for another endpoint, of which nothing is known.
    void go_on_with_a_new_one() {
        endpoints_.push_back(test::endpoint(++good_, 64));
        receivers_.set(good_, milliseconds(5));
        dispatcher_.set_endpoints(endpoints_);
    }
    core::MessageId insert(core::EndpointId endpoint) {
        const core::MessageId id = tables_.insert(endpoint);
        endpoint_of_[id] = endpoint;
        return id;
    }
    // Inserts one message for the good endpoint each 10 ms; answers how long the slowest of them waited until it was sent.
    milliseconds run(seconds lasting) {
        std::map<core::MessageId, core::MonoTime> inserted;
        for (milliseconds passed{0}; passed < lasting; passed += milliseconds(1)) {
            if (passed.count() % 10 == 0) {
                inserted[insert(good_)] = time_.mono();
                tables_.commit();
                claimer_.poll();
            }
            if (passed.count() % 1000 == 999) claimer_.poll_all();
            time_.advance(milliseconds(1));
            receivers_.answer_what_is_due();
        }
        milliseconds worst{0};
        for (const auto& [id, at] : inserted) {
            const auto sent = receivers_.sent().find(id);
            const core::MonoTime until = sent == receivers_.sent().end() ? time_.mono() : sent->second;
            worst = std::max(worst, std::chrono::duration_cast<milliseconds>(until - at));
        }
        return worst;
    }
    // Each of the others gets so many, in one transaction.
    void burst(int size) {
        for (int i = 0; i < size; ++i) {
            for (core::EndpointId id = 1; id < good_; ++id) insert(id);
        }
        tables_.commit();
        claimer_.poll();
    }

    test::FakeTime time_;
    test::FixedRandom random_{0.5};
    test::FakeObserver observer_;
    SimulatedTables tables_{time_};
    SimulatedReceivers receivers_{time_};
    core::EndpointId good_ = 0;
    std::size_t retries_ = 0;
    std::vector<core::Endpoint> endpoints_;
    std::map<core::MessageId, core::EndpointId> endpoint_of_;
    std::set<core::EndpointId> failing_;  // what fails for them waits in the hold
    test::FakeEngineStores rates_;
    Dispatcher dispatcher_{receivers_,
                           rates_,
                           time_,
                           time_,
                           random_,
                           observer_,
                           DispatcherOptions{},
                           {.on_outcome =
                                [this](const core::Outcome& outcome) {
                                    const core::EndpointId endpoint = endpoint_of_[outcome.id];
                                    if (outcome.kind == core::OutcomeKind::kRetry) ++retries_;
                                    const bool waits = outcome.kind == core::OutcomeKind::kRetry && failing_.contains(endpoint);
                                    if (outcome.kind != core::OutcomeKind::kHeld && !waits) return;
                                    tables_.move_to_hold(endpoint, outcome.id);
                                    claimer_.expect_held();
                                },
                            .on_capacity = [this] { claimer_.on_capacity(); },
                            .on_held_capacity = [this] { claimer_.expect_held(); },
                            .on_finding =
                                [this](const EndpointFinding& finding) {
                                    if (finding.finding == Finding::kFailing) failing_.insert(finding.endpoint);
                                }}};
    Claimer claimer_{tables_,
                     time_,
                     time_,
                     random_,
                     observer_,
                     kMaxClaim,
                     {.instance_id = [] { return 5; },
                      .capacity = [this] { return dispatcher_.capacity(); },
                      .held_capacities = [this] { return dispatcher_.held_capacities(); },
                      .other_held_capacity = [this] { return dispatcher_.other_held_capacity(); },
                      .known_claims = [] { return std::vector<core::ClaimId>{}; },
                      .messages_in_memory = [] { return std::vector<core::MessageId>{}; },
                      .on_claimed = [this](std::vector<core::Delivery> claimed) { dispatcher_.add(std::move(claimed)); },
                      .on_stopped = [] {},
                      .on_idle = [] {},
                      .on_found = [](std::size_t, bool) {},
                      .on_overload = [] {}}};
};

TEST_F(EndpointFairness, TwelveThatHangDelayNobody) {
    start(12, kNever);
    burst(3000);
    EXPECT_LE(run(seconds(20)), milliseconds(500));
    EXPECT_GT(tables_.held(), 35'000u) << "they are written once, and wait";
}

// A reader's finding: held messages of five endpoints that answer took all of the memory, and nothing else was claimed for 31 s.
TEST_F(EndpointFairness, BacklogsOfEndpointsThatAnswerSlowlyDelayNobody) {
    start(5, milliseconds(200));
    burst(10'000);
    EXPECT_LE(run(seconds(30)), milliseconds(1000));
    EXPECT_GE(receivers_.sent().size(), 3000u + 5u * 8000u) << "and they are sent at 64 requests in 200 ms each";
}

// A reader's finding: endpoints that take a thousand a second were never held, and others waited behind their bursts.
TEST_F(EndpointFairness, BurstsForFastEndpointsDelayNobody) {
    start(2, milliseconds(30));
    burst(500);
    run(seconds(5));
    burst(30'000);
    EXPECT_LE(run(seconds(10)), milliseconds(1000));
    EXPECT_GE(receivers_.sent().size(), 2u * 500u + 1500u + 2u * 15'000u) << "and they are sent fast";
}

// A reader's finding: what waited for endpoints that hang filled the memory, and nothing was claimed for anybody for 82 s.
TEST_F(EndpointFairness, LargeContentsForTwoThousandThatHangDelayNobody) {
    tables_.set_content(std::string(4000, 'x'));
    start(2000, kNever);
    run(seconds(1));
    burst(20);
    EXPECT_LE(run(seconds(60)), milliseconds(1000));
}

// A reader's finding: a new endpoint stood in line behind all that hang, for 37 s.
TEST_F(EndpointFairness, ANewOneBesideAThousandThatHangIsServedAtOnce) {
    start(1000, kNever);
    run(seconds(1));
    burst(5);
    run(seconds(3));
    for (int i = 0; i < 5; ++i) {  // all the while
        go_on_with_a_new_one();
        EXPECT_LE(run(seconds(10)), milliseconds(1000));
    }
}

TEST_F(EndpointFairness, AnEngineThatStartsBesideAThousandHeldServesTheOthersAtOnce) {
    core::MessageId id = 1'000'000;
    for (core::EndpointId endpoint = 1; endpoint <= 1000; ++endpoint) {
        for (int i = 0; i < 5; ++i) {
            endpoint_of_[++id] = endpoint;
            tables_.move_to_hold(endpoint, id);
        }
    }
    start(1000, kNever, core::EndpointState::kBacklogged);
    burst(0);
    EXPECT_LE(run(seconds(40)), milliseconds(100));
    go_on_with_a_new_one();
    EXPECT_LE(run(seconds(10)), milliseconds(100));
}

// Six good endpoints begin to hang at once, with far more requests in flight than silent ones may start.
TEST_F(EndpointFairness, ANewOneIsServedAtOnceWhenManyHaveJustBegunToHang) {
    start(6, milliseconds(20));
    burst(300);
    run(seconds(2));
    for (core::EndpointId id = 1; id <= 6; ++id) receivers_.set(id, kNever);
    burst(300);
    run(seconds(2));
    go_on_with_a_new_one();
    EXPECT_LE(run(seconds(10)), milliseconds(100));
}

// A reader's finding: a name server went silent, requests to two thousand good endpoints took all slots, and others waited for 18
// s.
TEST_F(EndpointFairness, TwoThousandGoodOnesThatBeginToHangAtOnceDelayNobody) {
    start(2000, milliseconds(20));
    burst(1);
    run(seconds(5));
    for (core::EndpointId id = 1; id < good_; ++id) receivers_.set(id, kNever);
    for (int i = 0; i < 10; ++i) {
        burst(2);
        EXPECT_LE(run(seconds(5)), milliseconds(1000));
    }
    for (core::EndpointId id = 1; id < good_; ++id) receivers_.set(id, milliseconds(20));
    EXPECT_LE(run(seconds(90)), milliseconds(1000));
    EXPECT_EQ(tables_.held(), 0u) << "and they are served again";
}

TEST_F(EndpointFairness, EveryHeldOneIsTriedBesideAThousandThatHang) {
    start(1000, kNever);
    burst(5);
    run(seconds(35));
    for (core::EndpointId id = 1; id <= 1000; ++id) receivers_.set(id, milliseconds(10));
    run(seconds(100));
    std::size_t unsent = 0;
    for (const auto& [id, endpoint] : endpoint_of_) unsent += endpoint < good_ && !receivers_.sent().contains(id) ? 1u : 0u;
    EXPECT_EQ(unsent, retries_) << "those that have had a time-out";
}

// The oldest ones were tried again and again, one a minute, and the others waited for hours.
TEST_F(EndpointFairness, MessagesThatAReceiverNeverTakesDoNotKeepTheOthersOfItsEndpoint) {
    start(1, milliseconds(5));
    for (const seconds apart : {seconds(5), seconds(1)}) {
        for (int i = 0; i < 30; ++i) receivers_.never_take(insert(1));
        tables_.commit();
        claimer_.poll();
        run(apart);
    }
    ASSERT_TRUE(failing_.contains(1));
    std::vector<core::MessageId> others;
    for (int i = 0; i < 100; ++i) {
        others.push_back(insert(1));
        tables_.move_to_hold(1, others.back());
    }
    run(seconds(16));
    for (const core::MessageId id : others) EXPECT_TRUE(receivers_.sent().contains(id)) << id;
}

TEST_F(EndpointFairness, WhatIsHeldIsSentWhenTheEndpointsComeBack) {
    start(3, kNever);
    burst(1000);
    run(seconds(5));
    for (core::EndpointId id = 1; id <= 3; ++id) receivers_.set(id, milliseconds(10));
    run(seconds(60));
    EXPECT_EQ(tables_.held(), 0u);
}

}  // namespace
}  // namespace messaging::engine
