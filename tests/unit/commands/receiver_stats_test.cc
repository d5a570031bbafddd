// What the built-in receiver says it has been sent.
#include "commands/receiver_stats.h"

#include <gtest/gtest.h>

namespace messaging::commands {
namespace {

core::WallTime at(int milliseconds) { return core::WallTime(std::chrono::milliseconds(1'700'000'000'000 + milliseconds)); }

TEST(ReceiverStats, BeginsWithNothing) {
    EXPECT_EQ(ReceiverStats().stats_json(0),
              R"({"received":0,"distinct":0,"duplicates":0,"first_at":null,"last_at":null,"in_flight":0})");
    EXPECT_EQ(ReceiverStats().recent_json(), "[]");
}

TEST(ReceiverStats, TellsRepetitionsFromNewIds) {
    ReceiverStats arrivals;
    arrivals.add("msg_1", "", at(0));
    arrivals.add("msg_2", "", at(5));
    arrivals.add("msg_1", "", at(70));
    EXPECT_EQ(arrivals.stats_json(4), R"({"received":3,"distinct":2,"duplicates":1,"first_at":"2023-11-14T22:13:20.000Z",)"
                                      R"("last_at":"2023-11-14T22:13:20.070Z","in_flight":4})");
}

TEST(ReceiverStats, AnIdOfAnyKindIsKnownAgainAndNoneIsTakenForAnother) {
    ReceiverStats arrivals;
    for (const char* id :
         {"msg_7", "msg_07", "msg_", "msg_7x", "msg_-7", "msg_0", "msg_99999999999999999999", "msg_5000000", "evt_7", "7"}) {
        const std::size_t before = arrivals.distinct();
        arrivals.add(id, "", at(0));
        EXPECT_EQ(arrivals.distinct(), before + 1) << id;
        arrivals.add(id, "", at(1));
        EXPECT_EQ(arrivals.distinct(), before + 1) << id;
    }
    EXPECT_EQ(arrivals.duplicates(), arrivals.distinct());
}

TEST(ReceiverStats, CountsRequestsWithoutIdAsReceivedOnly) {
    ReceiverStats arrivals;
    arrivals.add("", "", at(0));
    arrivals.add("", "", at(0));
    EXPECT_EQ(arrivals.received(), 2u);
    EXPECT_EQ(arrivals.distinct(), 0u);
    EXPECT_EQ(arrivals.duplicates(), 0u);
}

TEST(ReceiverStats, ShowsTheLastFiftyNewestFirst) {
    ReceiverStats arrivals;
    for (int i = 1; i <= 51; ++i) arrivals.add("msg_" + std::to_string(i), R"({"to":"+90","content":"x"})", at(i));
    const std::string recent = arrivals.recent_json();
    EXPECT_TRUE(recent.starts_with(
        R"([{"id":"msg_51","to":"+90","body":"{\"to\":\"+90\",\"content\":\"x\"}","bytes":26,"at":"2023-11-14T22:13:20.051Z"},{"id":"msg_50")"))
        << recent;
    EXPECT_NE(recent.find("\"msg_2\""), std::string::npos);
    EXPECT_EQ(recent.find("\"msg_1\""), std::string::npos);
}

TEST(ReceiverStats, ShowsABodyOfAnotherKindWithoutRecipient) {
    ReceiverStats arrivals;
    arrivals.add("a\"b", "not json", at(0));
    EXPECT_EQ(arrivals.recent_json(), R"([{"id":"a\"b","to":null,"body":"not json","bytes":8,"at":"2023-11-14T22:13:20.000Z"}])");
}

TEST(ReceiverStats, ForgetsEverythingOnReset) {
    ReceiverStats arrivals;
    arrivals.add("msg_1", "", at(0));
    arrivals.reset();
    arrivals.add("msg_1", "", at(1));
    EXPECT_EQ(arrivals.received(), 1u);
    EXPECT_EQ(arrivals.duplicates(), 0u);
}

TEST(RecipientOf, ReadsTheServicesOwnBodyAndNothingElse) {
    EXPECT_EQ(recipient_of(R"({"to":"+905551111111","content":"Hello"})"), "+905551111111");
    EXPECT_EQ(recipient_of(R"({"to":5})"), std::nullopt);
    EXPECT_EQ(recipient_of("[]"), std::nullopt);
    EXPECT_EQ(recipient_of(""), std::nullopt);
}

}  // namespace
}  // namespace messaging::commands
