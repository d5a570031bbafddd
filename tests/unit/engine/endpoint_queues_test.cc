// Turns between endpoints, caps, order.
#include "engine/endpoint_queues.h"

#include <gtest/gtest.h>

#include "support/fake_ports.h"

namespace messaging::engine {
namespace {

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

TEST(EndpointQueues, StartNoMoreThanAnEndpointsCap) {
    EndpointQueues queues(100);
    queues.set_max_in_flight(1, 2);
    queues.set_max_in_flight(2, 1);
    for (int id = 1; id <= 5; ++id) queues.push(delivery(id, 1));
    queues.push(delivery(9, 2));
    EXPECT_EQ(drain(queues), "1 9 2 ");
    queues.finished(1);
    EXPECT_EQ(drain(queues), "3 ");
    EXPECT_EQ(queues.waiting(), 2u);
    EXPECT_EQ(queues.waiting(1), 2u);
}

TEST(EndpointQueues, StartNoMoreThanTheEnginesCap) {
    EndpointQueues queues(3);
    queues.set_max_in_flight(1, 10);
    for (int id = 1; id <= 5; ++id) queues.push(delivery(id, 1));
    EXPECT_EQ(drain(queues), "1 2 3 ");
    queues.finished(1);
    queues.finished(1);
    EXPECT_EQ(drain(queues), "4 5 ");
}

TEST(EndpointQueues, AHangingEndpointKeepsNobodyElseWaiting) {
    EndpointQueues queues(100);
    queues.set_max_in_flight(1, 1);
    queues.set_max_in_flight(2, 1);
    for (int id = 1; id <= 100; ++id) queues.push(delivery(id, 1));
    for (int id = 201; id <= 203; ++id) queues.push(delivery(id, 2));
    EXPECT_EQ(drain(queues), "1 201 ");
    queues.finished(2);
    EXPECT_EQ(drain(queues), "202 ");
    queues.finished(2);
    EXPECT_EQ(drain(queues), "203 ");
}

TEST(EndpointQueues, ALoweredCapHoldsFromThenOn) {
    EndpointQueues queues(100);
    queues.set_max_in_flight(1, 3);
    for (int id = 1; id <= 6; ++id) queues.push(delivery(id, 1));
    EXPECT_EQ(drain(queues), "1 2 3 ");
    queues.set_max_in_flight(1, 1);
    queues.finished(1);
    queues.finished(1);
    EXPECT_EQ(drain(queues), "");
    queues.finished(1);
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
    queues.finished(1);
    EXPECT_EQ(drain(queues), "");
    queues.push(delivery(7, 1));
    EXPECT_EQ(drain(queues), "7 ");
}

TEST(EndpointQueues, TellAnEndpointThatIsBackedUpFromOneThatIsBusy) {
    EndpointQueues queues(100);
    queues.set_max_in_flight(1, 1);
    queues.set_max_in_flight(2, 1);
    for (int id = 1; id <= 10; ++id) queues.push(delivery(id, 1));
    for (int id = 1; id <= 10; ++id) queues.push(delivery(id, 2));
    drain(queues);
    for (int i = 0; i < 5; ++i) {
        queues.finished(2);
        drain(queues);
    }
    queues.measure(1.0, 2.0);
    EXPECT_TRUE(queues.backed_up(1)) << "nothing came back";
    EXPECT_FALSE(queues.backed_up(2)) << "4 waiting at 5 a second";
    EXPECT_EQ(queues.rate(2), 5.0);
    EXPECT_EQ(queues.waiting_moving(), 4u);
    EXPECT_FALSE(queues.backed_up(99));
}

}  // namespace
}  // namespace messaging::engine
