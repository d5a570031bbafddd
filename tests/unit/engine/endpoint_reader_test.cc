// The pace at which an engine reads the endpoints.
#include "engine/endpoint_reader.h"

#include <gtest/gtest.h>

#include "support/fake_ports.h"
#include "support/fake_time.h"

namespace messaging::engine {
namespace {

using std::chrono::milliseconds;
using test::delivery;
using test::take_first;

class EndpointReaderTest : public testing::Test {
protected:
    bool reading() const { return !store_.endpoints.empty(); }
    void answer(milliseconds took = milliseconds(0)) {
        time_.advance(took);
        take_first(store_.endpoints).answer(std::vector<core::Endpoint>{test::endpoint(1, 10)});
    }
    void use_up_credit() {
        reader_.read();
        answer(kMaxReadingCredit);
    }
    void fail() { take_first(store_.endpoints).answer(core::Error{core::ErrorKind::kTimeout, "too late", ""}); }

    test::FakeTime time_;
    test::FakeEngineStores store_;
    int reads_ = 0;
    std::vector<core::MessageId> waited_;
    EndpointReader reader_{store_,
                           time_,
                           time_,
                           {.on_read = [this](const auto&) { ++reads_; },
                            .on_waited =
                                [this](const std::vector<core::Delivery>& deliveries) {
                                    for (const core::Delivery& delivery : deliveries) waited_.push_back(delivery.id);
                                }}};
};

TEST_F(EndpointReaderTest, AChangeIsReadAtOnceAndManyTakeThreeReadings) {
    reader_.read();
    ASSERT_EQ(store_.endpoints.size(), 1u);
    reader_.read();
    ASSERT_EQ(store_.endpoints.size(), 2u) << "before what is claimed from now on: the first may have begun before the change";
    for (int i = 0; i < 100; ++i) reader_.read();
    ASSERT_EQ(store_.endpoints.size(), 2u);
    answer();
    ASSERT_EQ(store_.endpoints.size(), 2u) << "what changed after the second one began may not be in it";
    answer();
    answer();
    EXPECT_FALSE(reading());
    EXPECT_EQ(reads_, 3);
}

TEST_F(EndpointReaderTest, ReadingsTakeAFifthOfTheTimeAtMost) {
    use_up_credit();
    reader_.read();
    ASSERT_TRUE(reading());
    answer(milliseconds(100));
    reader_.read();
    EXPECT_FALSE(reading());
    time_.advance(milliseconds(399));
    EXPECT_FALSE(reading());
    time_.advance(milliseconds(1));
    ASSERT_TRUE(reading());
    answer(milliseconds(60'000));
    reader_.read();
    time_.advance(kLongestReadingPause);
    EXPECT_TRUE(reading()) << "a change has its effect, however slow PostgreSQL is";
}

TEST_F(EndpointReaderTest, ATimeWithoutReadingsCountsUpToItsLimit) {
    use_up_credit();
    time_.advance(std::chrono::hours(1));
    for (int i = 0; i < 3; ++i) {
        reader_.read();
        ASSERT_TRUE(reading()) << i;
        answer(milliseconds(100));
    }
    reader_.read();
    EXPECT_FALSE(reading());
}

TEST_F(EndpointReaderTest, ASessionThatHasComeUpReadsWithoutAPause) {
    use_up_credit();
    reader_.read();
    answer(milliseconds(1000));
    reader_.read_at_once();
    EXPECT_TRUE(reading());
}

TEST_F(EndpointReaderTest, WhereNobodyHasAskedReadingsTakeAFiftiethOfTheTime) {
    reader_.read();
    answer(milliseconds(100));
    time_.advance(milliseconds(4'999));
    reader_.refresh();
    EXPECT_FALSE(reading());
    time_.advance(milliseconds(1));
    reader_.refresh();
    ASSERT_TRUE(reading());
    fail();
    reader_.refresh();
    EXPECT_TRUE(reading()) << "nothing was read";
}

TEST_F(EndpointReaderTest, ADeliveryWaitsForAReadingThatBeginsAfterItsClaim) {
    reader_.read();
    EXPECT_TRUE(reader_.await({delivery(7, 9)}).empty());
    EXPECT_EQ(reader_.waiting_messages(), std::vector<core::MessageId>{7});
    EXPECT_EQ(store_.endpoints.size(), 2u);
    answer();
    EXPECT_TRUE(waited_.empty()) << "its endpoint may be newer than this reading";
    EXPECT_EQ(reader_.waiting_messages(), std::vector<core::MessageId>{7});
    fail();
    EXPECT_EQ(waited_, std::vector<core::MessageId>{7}) << "whatever comes of it";
    EXPECT_TRUE(reader_.waiting_messages().empty());
}

// Found by the soak test: after a crash of PostgreSQL, messages inserted after a rotation were signed with the secret before it.
TEST_F(EndpointReaderTest, ADeliveryWhoseReadingWasLostWithItsSessionWaitsForTheNextSession) {
    for (const char* sqlstate : {"", "57P01", "57P02", "08006"}) {
        EXPECT_TRUE(reader_.await({delivery(7, 9)}).empty());
        take_first(store_.endpoints).answer(core::Error{core::ErrorKind::kUnavailable, "the connection was closed", sqlstate});
        EXPECT_TRUE(waited_.empty()) << sqlstate << ": what was read before the session was lost is too old";
        EXPECT_EQ(reader_.waiting_messages(), std::vector<core::MessageId>{7});
        reader_.read_at_once();
        ASSERT_TRUE(reading());
        answer();
        EXPECT_EQ(std::exchange(waited_, {}), std::vector<core::MessageId>{7});
        EXPECT_TRUE(reader_.waiting_messages().empty());
    }
    EXPECT_TRUE(reader_.await({delivery(7, 9)}).empty());
    take_first(store_.endpoints).answer(core::Error{core::ErrorKind::kUnavailable, "out of memory", "53200"});
    EXPECT_EQ(waited_, std::vector<core::MessageId>{7}) << "the session lasts, and may refuse every reading";
}

TEST_F(EndpointReaderTest, KeepsNoMoreThanItHasRoomFor) {
    std::vector<core::Delivery> many;
    for (std::size_t i = 0; i < kMaxAwaiting + 3; ++i) many.push_back(delivery(static_cast<core::MessageId>(i), 9));
    EXPECT_EQ(reader_.await(many).size(), 3u);
    EXPECT_EQ(reader_.await({delivery(1, 8)}).size(), 1u);
    EXPECT_EQ(reader_.waiting_messages().size(), kMaxAwaiting);
    EXPECT_EQ(reader_.awaited_endpoints(), std::vector<core::EndpointId>{9});
    answer();
    EXPECT_EQ(waited_.size(), kMaxAwaiting);
    core::Delivery large = delivery(1, 8);
    large.content.assign(kMaxAwaitingBytes, 'x');
    EXPECT_EQ(reader_.await({large, delivery(2, 8)}).size(), 1u) << "the first takes all the memory there is";
    EXPECT_EQ(reader_.awaited_endpoints(), std::vector<core::EndpointId>{8});
}

}  // namespace
}  // namespace messaging::engine
