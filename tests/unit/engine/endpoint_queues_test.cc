// Turns between endpoints, limits, order.
#include "engine/endpoint_queues.h"

#include <gtest/gtest.h>

#include <deque>
#include <map>

#include "support/fake_ports.h"

namespace messaging::engine {
namespace {

using std::chrono::milliseconds;
using test::delivery;

std::string drain(EndpointQueues& queues) {
    std::string ids;
    while (const auto next = queues.next_startable()) ids += std::to_string(next->id) + " ";
    return ids;
}

TEST(EndpointQueues, KeepOrderInsideAnEndpointAndTakeTurnsBetweenThem) {
    EndpointQueues queues(100);
    for (const core::EndpointId endpoint : {1, 2, 3}) queues.set_max_in_flight(endpoint, 10);
    for (int id = 1; id <= 4; ++id) queues.push(delivery(10 + id, 1));
    for (int id = 1; id <= 2; ++id) queues.push(delivery(20 + id, 2));
    queues.push(delivery(31, 3));
    EXPECT_EQ(drain(queues), "11 21 31 12 22 13 14 ");
    EXPECT_EQ(queues.in_flight(), 7u);
}

TEST(EndpointQueues, StartNoMoreThanAnEndpointsMaxInFlight) {
    EndpointQueues queues(100);
    queues.set_max_in_flight(1, 2);
    queues.set_max_in_flight(2, 1);
    for (int id = 1; id <= 5; ++id) queues.push(delivery(id, 1));
    queues.push(delivery(9, 2));
    EXPECT_EQ(drain(queues), "1 9 2 ");
    queues.finished(1, Ended::kAnswered);
    EXPECT_EQ(drain(queues), "3 ");
    EXPECT_EQ(queues.waiting(), 2u);
    EXPECT_EQ(queues.waiting(1), 2u);
}

TEST(EndpointQueues, StartNoMoreThanAGateLetsThrough) {
    EndpointQueues queues(100);
    queues.set_max_in_flight(1, 10);
    queues.set_max_in_flight(2, 10);
    for (int id = 1; id <= 5; ++id) queues.push(delivery(id, 1));
    queues.set_gate_limit(1, 0);
    EXPECT_EQ(drain(queues), "");
    EXPECT_EQ(queues.capacity(1, 64), 0u);
    EXPECT_FALSE(queues.takes(1, 64));
    EXPECT_EQ(queues.take_excess(64).size(), 5u) << "nothing waits behind a closed gate";
    EXPECT_EQ(queues.capacities(64).size(), 0u);
    queues.set_gate_limit(1, 1);
    EXPECT_TRUE(queues.takes(1, 64));
    EXPECT_EQ(queues.capacity(1, 64), 1u);
    for (int id = 1; id <= 2; ++id) queues.push(delivery(id, 1));
    EXPECT_EQ(drain(queues), "1 ");
    EXPECT_EQ(queues.take_excess(64).size(), 0u) << "one may wait for its turn";
    queues.finished(1, Ended::kAnswered);
    queues.set_gate_limit(1, kNoGate);
    for (int id = 3; id <= 5; ++id) queues.push(delivery(id, 1));
    EXPECT_EQ(drain(queues), "2 3 4 5 ");
}

TEST(EndpointQueues, HalveTheLimitOfAnEndpointThatAsksForFewerRequests) {
    EndpointQueues queues(100);
    queues.set_max_in_flight(1, 8);
    for (int id = 1; id <= 20; ++id) queues.push(delivery(id, 1));
    EXPECT_EQ(drain(queues), "1 2 3 4 5 6 7 8 ");
    queues.finished(1, Ended::kOverloaded);
    queues.finished(1, Ended::kOverloaded);
    for (int i = 0; i < 6; ++i) queues.finished(1, Ended::kAnswered);
    EXPECT_EQ(drain(queues), "9 10 11 ") << "it grows slowly from there";
    EXPECT_EQ(queues.waiting_counted(), 9u) << "it answers, so it is not silent";
}

TEST(EndpointQueues, StartNoMoreThanTheSlots) {
    EndpointQueues queues(3);
    queues.set_max_in_flight(1, 10);
    for (int id = 1; id <= 5; ++id) queues.push(delivery(id, 1));
    EXPECT_EQ(drain(queues), "1 2 3 ");
    queues.finished(1, Ended::kAnswered);
    queues.finished(1, Ended::kAnswered);
    EXPECT_EQ(drain(queues), "4 5 ");
}

TEST(EndpointQueues, AHangingEndpointKeepsNobodyElseWaiting) {
    EndpointQueues queues(100);
    queues.set_max_in_flight(1, 1);
    queues.set_max_in_flight(2, 1);
    for (int id = 1; id <= 100; ++id) queues.push(delivery(id, 1));
    for (int id = 201; id <= 203; ++id) queues.push(delivery(id, 2));
    EXPECT_EQ(drain(queues), "1 201 ");
    queues.finished(2, Ended::kAnswered);
    EXPECT_EQ(drain(queues), "202 ");
    queues.finished(2, Ended::kAnswered);
    EXPECT_EQ(drain(queues), "203 ");
}

TEST(EndpointQueues, ALoweredMaxInFlightHoldsFromThenOn) {
    EndpointQueues queues(100);
    queues.set_max_in_flight(1, 3);
    for (int id = 1; id <= 6; ++id) queues.push(delivery(id, 1));
    EXPECT_EQ(drain(queues), "1 2 3 ");
    queues.set_max_in_flight(1, 1);
    queues.finished(1, Ended::kAnswered);
    queues.finished(1, Ended::kAnswered);
    EXPECT_EQ(drain(queues), "");
    queues.finished(1, Ended::kAnswered);
    EXPECT_EQ(drain(queues), "4 ");
}

TEST(EndpointQueues, GiveOutWhatWaitsAndGoOn) {
    EndpointQueues queues(100);
    queues.set_max_in_flight(1, 1);
    for (int id = 1; id <= 4; ++id) queues.push(delivery(id, 1, id));
    EXPECT_EQ(drain(queues), "1 ");
    const auto taken = queues.take_waiting([](const core::Delivery& one) { return one.claim_id == 3; });
    ASSERT_EQ(taken.size(), 1u);
    EXPECT_EQ(taken[0].id, 3);
    EXPECT_EQ(queues.take_waiting().size(), 2u);
    EXPECT_EQ(queues.waiting(), 0u);
    queues.finished(1, Ended::kAnswered);
    EXPECT_EQ(drain(queues), "");
    queues.push(delivery(7, 1));
    EXPECT_EQ(drain(queues), "7 ");
}

// How many requests endpoint 1 can have in flight now; all of them are started.
std::size_t fill(EndpointQueues& queues, core::EndpointId endpoint = 1) {
    static core::MessageId id = 1000;
    for (int i = 0; i < 300; ++i) queues.push(delivery(++id, endpoint));
    std::size_t started = 0;
    while (queues.next_startable()) ++started;
    queues.take_waiting();
    return started;
}

void finish(EndpointQueues& queues, core::EndpointId endpoint, std::size_t count, Ended how) {
    for (std::size_t i = 0; i < count; ++i) queues.finished(endpoint, how);
}

TEST(EndpointQueues, ALimitGrowsWithAnswersHalvesWithoutAndGrowsSlowlyFromThere) {
    EndpointQueues queues(1000);
    queues.set_max_in_flight(1, 64);
    for (const std::size_t limit : {8u, 16u, 32u, 64u, 64u}) {
        EXPECT_EQ(fill(queues), limit);
        // Each answer makes room for one more request than it has ended, while the limit is used up.
        for (std::size_t i = 0; i < limit; ++i) {
            queues.finished(1, Ended::kAnswered);
            fill(queues);
        }
        finish(queues, 1, queues.in_flight(), Ended::kUntried);
    }
    EXPECT_EQ(fill(queues), 64u);
    queues.finished(1, Ended::kUnanswered);
    finish(queues, 1, 63, Ended::kUntried);
    EXPECT_EQ(fill(queues), 32u);
    finish(queues, 1, 32, Ended::kUnanswered);
    EXPECT_EQ(fill(queues), 1u) << "nothing came back at all";
    for (int i = 0; i < 3; ++i) {  // 1 answer for 1 to 2, 2 for 2 to 3
        fill(queues);
        queues.finished(1, Ended::kAnswered);
    }
    fill(queues);
    EXPECT_EQ(queues.in_flight(), 3u);
}

TEST(EndpointQueues, AnswersOfAnEndpointThatDoesNotUseItsLimitLeaveItAsItIs) {
    EndpointQueues queues(1000);
    queues.set_max_in_flight(1, 64);
    for (int id = 1; id <= 100; ++id) {
        queues.push(delivery(id, 1));
        ASSERT_TRUE(queues.next_startable());
        queues.finished(1, Ended::kAnswered);
    }
    EXPECT_EQ(fill(queues), kFirstLimit);
}

TEST(EndpointQueues, OurOwnFaultsChangeNoLimit) {
    EndpointQueues queues(1000);
    queues.set_max_in_flight(1, 64);
    const std::size_t started = fill(queues);
    finish(queues, 1, started, Ended::kUntried);
    EXPECT_EQ(fill(queues), kFirstLimit);
}

// With twelve endpoints that hang, nothing of the thirteenth was sent.
TEST(EndpointQueues, EndpointsThatHangHaveHalfOfTheSlotsTogether) {
    EndpointQueues queues(100);
    for (core::EndpointId endpoint = 1; endpoint <= 50; ++endpoint) queues.set_max_in_flight(endpoint, 64);
    std::size_t hanging = 0;
    for (core::EndpointId endpoint = 1; endpoint <= 49; ++endpoint) {
        for (int i = 0; i < 20; ++i) queues.push(delivery(1000 * endpoint + i, endpoint));
    }
    while (queues.next_startable()) ++hanging;
    EXPECT_EQ(hanging, 50u);
    EXPECT_EQ(fill(queues, 50), 0u) << "it waits while nothing is known of the 49 others either";
    queues.finished(1, Ended::kUnanswered);
    queues.push(delivery(7, 50));
    core::EndpointId next = 0;
    for (int turn = 0; turn < 50 && next != 50; ++turn) {  // its turn comes
        next = queues.next_startable()->endpoint_id;
        queues.finished(next, Ended::kUnanswered);
    }
    ASSERT_EQ(next, 50);
    queues.push(delivery(8, 50));
    while (const auto started = queues.next_startable()) {
        if (started->endpoint_id == 50) queues.finished(50, Ended::kAnswered);
    }
    for (int i = 0; i < 10; ++i) {
        queues.push(delivery(100 + i, 50));
        const auto started = queues.next_startable();
        ASSERT_TRUE(started && started->endpoint_id == 50) << "and once it answers, nobody is before it";
        queues.finished(50, Ended::kAnswered);
    }
}

// Each endpoint has answered, so that it is not silent, and may have many in flight.
void prove(EndpointQueues& queues, core::EndpointId endpoint, std::size_t max_in_flight) {
    queues.set_max_in_flight(endpoint, max_in_flight);
    fill(queues, endpoint);
    while (queues.in_flight() < max_in_flight) {
        queues.finished(endpoint, Ended::kAnswered);
        ASSERT_EQ(fill(queues, endpoint), 2u);
    }
    finish(queues, endpoint, queues.in_flight(), Ended::kAnswered);
}

constexpr milliseconds kInterval{100};

void pass(EndpointQueues& queues, milliseconds time) {
    for (milliseconds passed{0}; passed < time; passed += kInterval) queues.measure(kInterval);
}

// Endpoints 1 to `count`, with so many deliveries each, that have just shown that they hang.
void hang(EndpointQueues& queues, core::EndpointId count, int deliveries) {
    for (core::EndpointId endpoint = 1; endpoint <= count; ++endpoint) {
        queues.set_max_in_flight(endpoint, 64);
        for (int i = 0; i < deliveries; ++i) queues.push(delivery(1000 * endpoint + i, endpoint));
    }
    drain(queues);
    pass(queues, kSilentAfterQuiet);
}

// A reader's finding: its first message waited for the time-outs of a thousand others.
TEST(EndpointQueues, ANewEndpointsFirstRequestWaitsForNoneThatHangs) {
    EndpointQueues queues(64);
    hang(queues, 4, 20);
    EXPECT_EQ(queues.in_flight(), 32u);
    for (const core::MessageId id : {1, 2}) queues.push(delivery(id, 9));
    queues.set_max_in_flight(9, 64);
    EXPECT_EQ(drain(queues), "1 ") << "one, until it has answered";
    queues.finished(9, Ended::kUntried);
    queues.push(delivery(3, 9));
    EXPECT_EQ(drain(queues), "2 ") << "it is still untried";
    queues.finished(9, Ended::kUnanswered);
    EXPECT_EQ(drain(queues), "") << "it is silent now, as the others are";
}

TEST(EndpointQueues, NewEndpointsThatAllHangAreTriedEverMoreSlowlyTheNewestFirstAndLeaveTheOthersSomething) {
    EndpointQueues queues(64);
    hang(queues, 100, 1);
    EXPECT_EQ(queues.in_flight(), 32u) << "the half of the silent ones";
    EXPECT_EQ(drain(queues), "100000 99000 98000 97000 ") << "16 of the reserve are left: four of them, each a sixteenth";
    pass(queues, kSilentAfterQuiet);
    EXPECT_EQ(drain(queues), "96000 95000 94000 ") << "12 are left";
    for (int i = 0; i < 30; ++i) {
        pass(queues, kSilentAfterQuiet);
        drain(queues);
    }
    EXPECT_EQ(queues.in_flight(), 56u) << "an eighth is left to endpoints that answer";
}

TEST(EndpointQueues, AnEndpointThatWasHeldBeforeThisEngineStartedIsSilent) {
    EndpointQueues queues(64);
    for (core::EndpointId endpoint = 1; endpoint <= 100; ++endpoint) {
        queues.set_max_in_flight(endpoint, 64);
        queues.set_held(endpoint, true);
        queues.expect_silence(endpoint);
        queues.push(delivery(endpoint, endpoint));
    }
    drain(queues);
    EXPECT_EQ(queues.in_flight(), 32u);
    queues.set_max_in_flight(101, 64);
    queues.push(delivery(1001, 101));
    EXPECT_EQ(drain(queues), "1001 ");
}

// A reader's finding: 64 messages of each of two thousand endpoints that hang filled the memory.
TEST(EndpointQueues, WhatWaitsForSilentEndpointsHasOneBudget) {
    EndpointQueues queues(8);
    std::size_t taken = 0;
    for (core::EndpointId endpoint = 1; endpoint <= 100; ++endpoint) {
        queues.set_max_in_flight(endpoint, 8);
        for (int i = 0; i < 5; ++i) {
            if (!queues.takes(endpoint, 256)) continue;
            queues.push(delivery(10 * endpoint + i, endpoint));
            ++taken;
        }
    }
    EXPECT_EQ(taken, 3u * 5 + 1 + 96) << "two for each slot, and the first of each that is new";
    drain(queues);
    queues.take_excess(256);
    EXPECT_EQ(queues.waiting(), 8u) << "the newest new ones, one for each slot";
    EXPECT_EQ(queues.waiting(100), 1u);
    EXPECT_EQ(queues.waiting_counted(), 0u);
}

TEST(EndpointQueues, WhatWaitsForSilentEndpointsHasABudgetOfBytes) {
    EndpointQueues queues(8);
    for (const core::EndpointId endpoint : {1, 2, 3}) queues.set_max_in_flight(endpoint, 1);
    queues.push(delivery(1, 3));
    drain(queues);
    queues.finished(3, Ended::kAnswered, {}, size_of(delivery(1, 3)));
    core::Delivery large = delivery(1, 1);
    large.content = std::string(kSilentBytes / 2, 'x');
    for (const core::EndpointId endpoint : {1, 1, 2, 3}) {
        large.endpoint_id = endpoint;
        queues.push(large);
    }
    EXPECT_EQ(queues.silent_bytes(), 3 * size_of(large));
    EXPECT_EQ(queues.bytes(), 4 * size_of(large));
    drain(queues);
    EXPECT_EQ(queues.take_excess(256).size(), 1u) << "what is in flight stays";
    EXPECT_FALSE(queues.takes(1, 256));
    EXPECT_TRUE(queues.takes(3, 256));
    queues.finished(2, Ended::kAnswered, {}, size_of(large));
    EXPECT_EQ(queues.silent_bytes(), size_of(large));
    queues.finished(3, Ended::kAnswered, {}, size_of(large));
    EXPECT_EQ(queues.bytes(), size_of(large));
}

TEST(EndpointQueues, SilentEndpointsAreGivenOfTheHoldWhatMayStartTheLongestWaitingFirst) {
    EndpointQueues queues(64);
    hang(queues, 40, 1);
    for (core::EndpointId endpoint = 1; endpoint <= 40; ++endpoint) queues.set_held(endpoint, true);
    const auto given = [&] {
        std::map<core::EndpointId, int> capacities;
        for (const core::EndpointCapacity& known : queues.capacities(256)) {
            if (known.capacity > 0) capacities[known.endpoint] = known.capacity;
        }
        return capacities;
    };
    EXPECT_TRUE(given().empty()) << "no slot is free";
    queues.take_waiting();
    for (core::EndpointId endpoint = 1; endpoint <= 30; ++endpoint) queues.finished(endpoint, Ended::kUnanswered);
    for (core::EndpointId endpoint = 33; endpoint <= 40; ++endpoint) queues.expect_silence(endpoint);
    const auto capacities = given();
    EXPECT_EQ(capacities.size(), 30u) << "one each";
    for (core::EndpointId endpoint = 33; endpoint <= 40; ++endpoint) EXPECT_TRUE(capacities.contains(endpoint)) << endpoint;
    EXPECT_TRUE(capacities.contains(1));
    EXPECT_FALSE(capacities.contains(30)) << "it was tried last";
}

TEST(EndpointQueues, AnEndpointThatBeginsToHangIsSilentSoon) {
    EndpointQueues queues(40);
    for (const core::EndpointId endpoint : {1, 2, 3}) prove(queues, endpoint, 25);
    const auto hang = [&](core::EndpointId endpoint) {
        for (int id = 0; id < 20; ++id) queues.push(delivery(100 * endpoint + id, endpoint));
    };
    hang(1);
    hang(2);
    EXPECT_FALSE(drain(queues).empty());
    EXPECT_EQ(queues.in_flight(), 39u) << "each up to its share of 20, and the last slot is for those that answer meanwhile";
    pass(queues, kSilentAfterQuiet + kInterval);
    finish(queues, 1, 10, Ended::kUntried);
    ASSERT_EQ(queues.waiting(), 1u);
    EXPECT_EQ(drain(queues), "") << "what they have is more than half of the slots";
    queues.push(delivery(7, 3));
    EXPECT_EQ(drain(queues), "7 ");
}

TEST(EndpointQueues, AnEndpointThatAlwaysTakesLongIsSilentLater) {
    EndpointQueues queues(40);
    queues.set_max_in_flight(1, 8);
    queues.push(delivery(1, 1));
    drain(queues);
    queues.finished(1, Ended::kAnswered, std::chrono::seconds(1));
    queues.push(delivery(2, 1));
    queues.push(delivery(3, 1));
    drain(queues);
    const auto room_after = [&](milliseconds quiet) {
        for (milliseconds passed{0}; passed < quiet; passed += kInterval) queues.measure(kInterval);
        return queues.capacity(1, 1000);
    };
    EXPECT_EQ(room_after(milliseconds(3900)), 16u) << "twice its limit, which is more than the 8 that it takes in a second";
    EXPECT_EQ(room_after(milliseconds(200)), 6u) << "silent: what may start";
}

TEST(EndpointQueues, AnAllowanceIsWhatAnEndpointTakesInASecond) {
    EndpointQueues queues(1000);
    queues.set_max_in_flight(1, 8);
    EXPECT_EQ(queues.allowance(1, 1000), kFirstWaiting) << "nothing is known of it";
    for (int id = 0; id < 200; ++id) queues.push(delivery(id, 1));
    drain(queues);
    EXPECT_EQ(queues.take_excess(1000).size(), 192 - kFirstWaiting);
    for (milliseconds passed{0}; passed < kSilentAfterQuiet; passed += kInterval) queues.measure(kInterval);
    EXPECT_EQ(queues.allowance(1, 1000), 16u) << "no answer yet: twice its limit";
    const auto excess = queues.take_excess(1000);
    ASSERT_EQ(excess.size(), kFirstWaiting - 16);
    EXPECT_EQ(excess.front().id, 24) << "the last ones, in order";
    queues.finished(1, Ended::kAnswered, milliseconds(40));
    queues.measure(kInterval);
    EXPECT_EQ(queues.allowance(1, 1000), 200u) << "8 at a time, in 40 ms";
    EXPECT_EQ(queues.allowance(1, 100), 100u);
    EXPECT_EQ(queues.capacity(1, 1000), 200u - 16);
    for (int id = 300; id < 400; ++id) queues.push(delivery(id, 1));
    EXPECT_EQ(queues.capacity(1, 1000), 0u) << "half of it waits: enough for now";
}

TEST(EndpointQueues, NobodyTakesTheLastQuarterOfTheSlotsBeyondItsShare) {
    EndpointQueues queues(40);
    prove(queues, 1, 40);
    prove(queues, 2, 40);
    queues.push(delivery(5, 2));
    EXPECT_EQ(drain(queues), "5 ");
    for (int id = 100; id < 200; ++id) queues.push(delivery(id, 1));
    drain(queues);
    EXPECT_EQ(queues.in_flight(), 30u) << "29 of endpoint 1";
    for (int id = 200; id < 300; ++id) queues.push(delivery(id, 2));
    drain(queues);
    EXPECT_EQ(queues.in_flight(), 39u)
        << "10 of endpoint 2: it is below its share; the last slot is for those that answer meanwhile";
    finish(queues, 1, 10, Ended::kAnswered);
    std::size_t of_one = 29 - 10;
    while (const auto next = queues.next_startable()) of_one += next->endpoint_id == 1 ? 1u : 0u;
    EXPECT_EQ(of_one, 20u) << "its share, and the other one has the other half";
}

// 512 slots, so the last 32 are used with care.
class CrowdedSlots : public testing::Test {
protected:
    CrowdedSlots() {
        for (core::EndpointId id = 1; id <= 600; ++id) prove(queues_, id, 2);
        for (core::EndpointId id = 1; id <= 520; ++id) queues_.push(delivery(id, id));
    }
    EndpointQueues queues_{512};
};

TEST_F(CrowdedSlots, FewAreTriedAndTheLastOnesAreForThoseThatAnswer) {
    drain(queues_);
    EXPECT_EQ(queues_.in_flight(), 480u + 4u) << "four are on trial";
    core::EndpointId next = 521;
    for (const std::size_t more : {3u, 2u, 2u, 1u, 1u}) {
        const std::size_t before = queues_.in_flight();
        pass(queues_, kSilentAfterQuiet + kInterval);
        for (int i = 0; i < 4; ++i, ++next) queues_.push(delivery(next, next));
        drain(queues_);
        EXPECT_EQ(queues_.in_flight(), before + more);
    }
    queues_.finished(1, Ended::kAnswered);
    for (int i = 0; i < 2; ++i) queues_.push(delivery(1000 + i, 1));
    EXPECT_EQ(drain(queues_), "1000 1001 ");
    EXPECT_EQ(queues_.in_flight(), 494u);
}

TEST_F(CrowdedSlots, WhoeverHasAnsweredLastIsTriedFirst) {
    while (queues_.in_flight() < 480) queues_.next_startable();
    for (const core::EndpointId id : {599, 600, 598}) queues_.push(delivery(id, id));
    EXPECT_EQ(drain(queues_), "600 599 598 520 ");
}

TEST_F(CrowdedSlots, NewEndpointsAndKnownOnesAreTriedInTurns) {
    drain(queues_);
    pass(queues_, kSilentAfterQuiet + kInterval);  // those in flight are silent: no new one may start by the other rules
    for (core::EndpointId id = 701; id <= 710; ++id) {
        queues_.set_max_in_flight(id, 2);
        queues_.push(delivery(id, id));
    }
    for (const core::EndpointId id : {599, 600, 598}) queues_.push(delivery(id, id));
    EXPECT_EQ(drain(queues_), "710 600 709 ");
}

// What waits in vain while nothing answers must not keep the memory from those that are served.
TEST_F(CrowdedSlots, AnEndpointThatWaitsInVainIsSilent) {
    drain(queues_);
    EXPECT_EQ(queues_.waiting_counted(), 36u);
    pass(queues_, kSilentAfterQuiet + kInterval);
    EXPECT_EQ(queues_.waiting_counted(), 0u);
    for (core::EndpointId id = 1; id <= 520; ++id) {
        if (queues_.waiting(id) == 0) queues_.finished(id, Ended::kAnswered);
    }
    drain(queues_);
    EXPECT_EQ(queues_.waiting(), 0u) << "and is served when the slots are free";
}

// More messages than slots, always, and every endpoint answers.
TEST_F(CrowdedSlots, AreAllUsedWhileEveryEndpointAnswersAndEachHasItsTurn) {
    std::map<core::EndpointId, std::size_t> started;
    std::deque<core::EndpointId> in_flight;
    std::size_t fewest = 512;
    core::MessageId next_id = 10'000;
    for (int step = 0; step < 100'000; ++step) {
        for (core::EndpointId id = 1; id <= 600; ++id) {
            while (queues_.waiting(id) < 3) queues_.push(delivery(++next_id, id));
        }
        while (const auto next = queues_.next_startable()) {
            ++started[next->endpoint_id];
            in_flight.push_back(next->endpoint_id);
        }
        if (step > 5000) fewest = std::min(fewest, queues_.in_flight());
        queues_.finished(in_flight.front(), Ended::kAnswered, milliseconds(20));
        in_flight.pop_front();
        if (step % 2500 == 0) queues_.measure(kInterval);
    }
    EXPECT_EQ(fewest, 512u);
    for (core::EndpointId id = 1; id <= 600; ++id) {
        EXPECT_GE(started[id], 80u) << id;
        EXPECT_LE(started[id], 330u) << id;
    }
}

}  // namespace
}  // namespace messaging::engine
