// Loading many messages by COPY, and the subcommand around it.
#include "commands/faker.h"

#include <unistd.h>

#include <csignal>
#include <thread>

#include "repository/message_loader.h"
#include "support/private_postgres.h"
#include "support/stores.h"

namespace messaging::app {
namespace {

using test::Stores;

struct Ended {
    int exit_status = 0;
    std::string output;
};

Ended run(const commands::FakerOptions& options) {
    testing::internal::CaptureStdout();
    Ended result;
    result.exit_status = commands::run_faker(options);
    result.output = testing::internal::GetCapturedStdout();
    return result;
}

TEST(MessageLoader, EveryTextArrivesAsItWas) {
    Stores db(test::fresh_database());
    pg::Session session = test::connect_or_abort(db.url());
    repository::MessageLoader loader(session);
    const std::vector<std::string> texts{"tab\there", "two\nlines\r\n", "back\\slash \\N \\.", "\\.", "emoji 🎈 é"};
    ASSERT_TRUE(loader.begin());
    for (const std::string& text : texts) ASSERT_TRUE(loader.add("+90\\", text));
    ASSERT_TRUE(loader.commit());
    const auto rows = session.execute("SELECT recipient, content FROM messages ORDER BY id");
    ASSERT_TRUE(rows.ok());
    ASSERT_EQ(rows->size(), static_cast<int>(texts.size()));
    for (int row = 0; row < rows->size(); ++row) {
        EXPECT_EQ(rows->text(row, 0), "+90\\");
        EXPECT_EQ(rows->text(row, 1), texts[static_cast<std::size_t>(row)]);
    }
}

TEST(MessageLoader, AChunkThatTheTableRefusesLeavesNothing) {
    Stores db(test::fresh_database());
    pg::Session session = test::connect_or_abort(db.url());
    repository::MessageLoader loader(session);
    ASSERT_TRUE(loader.begin());
    ASSERT_TRUE(loader.add("+1", "fits"));
    ASSERT_TRUE(loader.add("+1", ""));
    const auto refused = loader.commit();
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().sqlstate, "23514");
    EXPECT_EQ(db.number("SELECT count(*) FROM messages"), 0);
    ASSERT_TRUE(loader.begin());
    ASSERT_TRUE(loader.add("+1", "again"));
    EXPECT_TRUE(loader.commit().ok());
}

TEST(Faker, InsertsQueuesAndReportsARate) {
    Stores db(test::fresh_database());
    const Ended result = run({db.url(), 12345, 1});
    EXPECT_EQ(result.exit_status, 0);
    EXPECT_NE(result.output.find("12345 messages in"), std::string::npos) << result.output;
    EXPECT_NE(result.output.find("rows/s"), std::string::npos);
    EXPECT_EQ(result.output.find('\r'), std::string::npos) << "no progress bar where there is no terminal";
    EXPECT_EQ(db.number("SELECT count(*) FROM messages"), 12345);
    EXPECT_EQ(db.number("SELECT count(*) FROM messaging._queue"), 12345);
    EXPECT_GE(db.number("SELECT count(DISTINCT xid) FROM messaging._queue"), 3) << "sending starts before the end";
}

TEST(Faker, TheSameSeedInsertsTheSame) {
    std::vector<std::string> sums;
    for (const std::uint64_t seed : {5U, 5U, 6U}) {
        Stores db(test::fresh_database());
        run({db.url(), 500, seed});
        sums.push_back(db.sql("SELECT md5(string_agg(recipient || content, '' ORDER BY id)) FROM messages"));
    }
    EXPECT_EQ(sums[0], sums[1]);
    EXPECT_NE(sums[0], sums[2]);
}

TEST(Faker, AnInterruptEndsItBehindTheCurrentChunk) {
    Stores db(test::fresh_database());
    std::thread interrupting([&] {
        Stores watching(db.url());
        EXPECT_TRUE(
            test::wait_until([&] { return watching.number("SELECT count(*) FROM (SELECT FROM messages LIMIT 1) m") == 1; }));
        kill(getpid(), SIGINT);
    });
    const Ended result = run({db.url(), 100'000'000, 1});
    interrupting.join();
    EXPECT_EQ(result.exit_status, 130);
    const std::int64_t inserted = db.number("SELECT count(*) FROM messages");
    EXPECT_GT(inserted, 0);
    EXPECT_LT(inserted, 100'000'000);
    EXPECT_EQ(inserted % 5000, 0);
    EXPECT_NE(result.output.find(std::to_string(inserted) + " messages in"), std::string::npos) << result.output;
    EXPECT_EQ(run({db.url(), 10, 1}).exit_status, 0) << "an interrupt is that run's only";
}

TEST(Faker, WithoutADatabaseItSaysWhy) {
    testing::internal::CaptureStderr();
    EXPECT_EQ(run({"postgresql:///nowhere?host=/nonexistent", 1, 1}).exit_status, 1);
    EXPECT_NE(testing::internal::GetCapturedStderr().find("faker: "), std::string::npos);
}

}  // namespace
}  // namespace messaging::app
