// Scarcity: descriptors, memory, and neighbours that take all they can get.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include "support/private_postgres.h"
#include "support/stores.h"
#include "support/tally.h"
#include "support/world.h"

namespace messaging::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

ScriptedReceiver::Script after(milliseconds delay) {
    ScriptedAnswer answer;
    answer.delay = delay;
    return ScriptedReceiver::always(answer);
}

TEST(Limits, SixtyFourDescriptorsAreFewButNoAttemptIsUsedUp) {
    ScriptedReceiver receiver(after(milliseconds(5)));
    const std::string database = migrated(empty_database());
    Tally tally("64 file descriptors", database, receiver);
    Service service({{"WEBHOOK_URL", receiver.url()}, {"ENDPOINT_MAX_IN_FLIGHT", "200"}}, database);
    rlimit before{};
    ASSERT_EQ(prlimit(service.pid(), RLIMIT_NOFILE, nullptr, &before), 0);
    rlimit few{64, before.rlim_max};
    ASSERT_EQ(prlimit(service.pid(), RLIMIT_NOFILE, &few, nullptr), 0);
    commit_messages(database, 2000);
    tally.expect_settled();
    ASSERT_EQ(prlimit(service.pid(), RLIMIT_NOFILE, &before, nullptr), 0);
    tally.expect_recovered();
    tally.expect_none_lost(0);
    EXPECT_EQ(service.sql("SELECT max(attempts) FROM messages"), "1");
    EXPECT_GT(service.metric("messaging_deliveries_total{outcome=\"deferred\"}"), 0) << "it met the limit";
}

TEST(Limits, ABacklogOfAMillionWithLongContentsStaysOutOfMemory) {
    ScriptedReceiver receiver(after(milliseconds(200)));
    const std::string database = migrated(empty_database());
    Service service({{"WEBHOOK_URL", receiver.url()}}, database);
    auto session = connect_or_abort(database);
    ASSERT_TRUE(session
                    .execute_script(
                        "INSERT INTO messages (recipient, content) SELECT 'a', repeat('x', 4096) FROM generate_series(1, 20000);"
                        "INSERT INTO messages (recipient, content) SELECT 'a', 'b' FROM generate_series(1, 980000)")
                    .ok());
    ASSERT_TRUE(receiver.wait_for(1000));
    std::printf("1,000,000 queued: resident memory %ld MB\n", service.resident_bytes() >> 20);
    EXPECT_LT(service.resident_bytes(), 200L << 20);
    EXPECT_EQ(service.sql("SELECT count(*) FROM messaging._attempt"), "0");
}

// 99th percentile of the time from the insert to the arrival, of the endpoints whose path is /good.
class Neighbours : public testing::Test {
protected:
    static constexpr int kGood = 7;

    double p99_of_the_good(bool with_bad_ones) {
        ScriptedReceiver receiver([](const http::Request& request, std::size_t) {
            ScriptedAnswer answer;
            if (request.path == "/hangs") answer.hang = true;
            if (request.path == "/fails") answer.status = 500;
            if (request.path == "/slow") answer.delay = seconds(2);
            return answer;
        });
        Service service({{"WEBHOOK_URL", receiver.url("/good")}, {"BACKOFF_BASE", "1s"}});
        const std::vector<std::string> paths = {"/hangs", "/fails", "/slow"};
        service.sql("INSERT INTO messaging.endpoints (name, url) SELECT 'good ' || g, '" + receiver.url("/good") +
                    "' FROM generate_series(2, " + std::to_string(kGood) + ") g");
        for (const auto& path : paths) {
            service.sql("INSERT INTO messaging.endpoints (name, url) VALUES ('" + path.substr(1) + "', '" +
                        receiver.url(with_bad_ones ? path : "/good") + "')");
        }
        // Ten messages for each endpoint every 50 ms, in one statement, as a busy application would insert them.
        constexpr int kRounds = 60;
        for (int round = 0; round < kRounds; ++round) {
            const auto next = std::chrono::steady_clock::now() + milliseconds(50);
            service.sql(
                "INSERT INTO messages (recipient, content, endpoint_id) SELECT 'a', 'b', id FROM messaging.endpoints, "
                "generate_series(1, "
                "10)");
            wait_until([&] { return std::chrono::steady_clock::now() >= next; });
        }
        const std::string good =
            "FROM messages m JOIN messaging.endpoints e ON e.id = m.endpoint_id WHERE e.url = '" + receiver.url("/good") + "'";
        EXPECT_TRUE(wait_until([&] { return service.sql("SELECT count(*) " + good + " AND NOT is_sent") == "0"; }));
        const double p99 = std::stod(service.sql(
            "SELECT percentile_cont(0.99) WITHIN GROUP (ORDER BY extract(epoch FROM sent_at - m.created_at)) " + good));
        receiver.release();
        return p99;
    }
};

TEST_F(Neighbours, AHangingAFailingAndASlowOneCostTheOthersLittle) {
    const double without = p99_of_the_good(false);
    const double with = p99_of_the_good(true);
    std::printf("p99 of seven good endpoints: %.1f ms alone, %.1f ms beside three bad ones, ratio %.2f\n", without * 1e3,
                with * 1e3, with / without);
    EXPECT_LT(with, without * 2 + 1) << "a loaded machine may add a second; waiting for a neighbour would add two, or ten";
}

}  // namespace
}  // namespace messaging::test
