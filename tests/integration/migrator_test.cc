// Migrations against a real PostgreSQL, from folders of the test's own.
#include "repository/migrator.h"

#include <filesystem>
#include <fstream>
#include <thread>

#include "app/migrate.h"
#include "repository/session_settings.h"
#include "support/places.h"
#include "support/private_postgres.h"
#include "support/stores.h"

namespace messaging::repository {
namespace {

using test::Stores;

class MigratorTest : public testing::Test {
protected:
    void write(const std::string& name, const std::string& up, const std::string& down) {
        std::ofstream(folder_.path() + "/" + name + ".up.sql") << up;
        std::ofstream(folder_.path() + "/" + name + ".down.sql") << down;
    }
    void write_two() {
        write("0001_first", "CREATE TABLE first (id int)", "DROP TABLE first");
        write("0002_second", "CREATE TABLE second (id int)", "DROP TABLE second");
    }
    // A session for each: the lock of a migrator lasts as long as its session.
    template <typename Use>
    auto with_migrator(Use use) {
        pg::Session session = test::connect_or_abort(db_.url());
        auto migrations = read_schema(folder_.path());
        EXPECT_TRUE(migrations.ok()) << (migrations ? "" : migrations.error().message);
        Migrator migrator(session, std::move(migrations.value()));
        return use(migrator);
    }
    auto up() {
        return with_migrator([](Migrator& migrator) { return migrator.up(); });
    }
    auto down() {
        return with_migrator([](Migrator& migrator) { return migrator.down(); });
    }
    bool exists(const std::string& table) { return db_.sql("SELECT to_regclass('" + table + "') IS NOT NULL") == "true"; }

    test::TemporaryDirectory folder_;
    Stores db_{test::empty_database()};
};

using Names = std::vector<std::string>;

TEST_F(MigratorTest, AppliesWhatIsPendingOnceAndInOrder) {
    write("0001_first", "CREATE TABLE first (id int)", "DROP TABLE first");
    EXPECT_EQ(up().value(), Names{"0001_first"});
    write_two();
    EXPECT_EQ(up().value(), Names{"0002_second"});
    EXPECT_TRUE(up().value().empty());
    EXPECT_TRUE(exists("first") && exists("second"));
    EXPECT_EQ(db_.sql("SELECT version, name, length(checksum) FROM messaging._migration ORDER BY version"),
              "1|0001_first|64 2|0002_second|64");
}

TEST_F(MigratorTest, GoesDownOneStepAtATime) {
    write_two();
    ASSERT_TRUE(up().ok());
    EXPECT_EQ(down().value(), Names{"0002_second"});
    EXPECT_TRUE(exists("first") && !exists("second"));
    EXPECT_EQ(down().value(), Names{"0001_first"});
    EXPECT_TRUE(down().value().empty());
    EXPECT_EQ(up().value().size(), 2U);
}

TEST_F(MigratorTest, TellsWhatIsPendingAlsoOnAnEmptyDatabase) {
    write_two();
    const auto before = with_migrator([](Migrator& migrator) { return migrator.status(); });
    ASSERT_EQ(before->size(), 2U);
    EXPECT_FALSE(before.value()[0].applied);
    EXPECT_FALSE(exists("messaging._migration")) << "asking changes nothing";
    ASSERT_TRUE(up().ok());
    const auto after = with_migrator([](Migrator& migrator) { return migrator.status(); });
    EXPECT_TRUE(after.value()[1].applied);
    EXPECT_FALSE(after.value()[1].applied_at.empty());
}

TEST_F(MigratorTest, AFailedMigrationLeavesNothingOfItselfAndKeepsTheEarlier) {
    write("0001_first", "CREATE TABLE first (id int)", "DROP TABLE first");
    write("0002_second", "CREATE TABLE second (id int); SELECT no_such_column", "DROP TABLE second");
    const auto failed = up();
    ASSERT_FALSE(failed.ok());
    EXPECT_NE(failed.error().message.find("0002_second.up.sql"), std::string::npos) << failed.error().message;
    EXPECT_TRUE(exists("first") && !exists("second"));
    write_two();
    EXPECT_EQ(up().value(), Names{"0002_second"});
}

TEST_F(MigratorTest, RefusesAnEditedAppliedFileAndNamesIt) {
    write_two();
    ASSERT_TRUE(up().ok());
    write("0001_first", "CREATE TABLE first (id bigint)", "DROP TABLE first");
    for (const auto& refused : {up(), down()}) {
        ASSERT_FALSE(refused.ok());
        EXPECT_EQ(refused.error().kind, core::ErrorKind::kConflict);
        EXPECT_NE(refused.error().message.find("0001_first.up.sql"), std::string::npos) << refused.error().message;
    }
}

TEST_F(MigratorTest, RefusesADatabaseThatIsNewerThanTheFolder) {
    write_two();
    ASSERT_TRUE(up().ok());
    std::filesystem::remove(folder_.path() + "/0002_second.up.sql");
    std::filesystem::remove(folder_.path() + "/0002_second.down.sql");
    const auto refused = up();
    ASSERT_FALSE(refused.ok());
    EXPECT_NE(refused.error().message.find("0002_second"), std::string::npos);
}

TEST_F(MigratorTest, RefusesFoldersThatMakeNoSense) {
    EXPECT_FALSE(read_schema(folder_.path()).ok()) << "empty";
    EXPECT_FALSE(read_schema(folder_.path() + "/missing").ok());
    write("0002_second", "SELECT 1", "SELECT 1");
    EXPECT_FALSE(read_schema(folder_.path()).ok()) << "a gap";
    write("0001_first", "SELECT 1", "SELECT 1");
    EXPECT_TRUE(read_schema(folder_.path()).ok());
    write("0001_double", "SELECT 1", "SELECT 1");
    EXPECT_FALSE(read_schema(folder_.path()).ok()) << "a number twice";
    std::filesystem::remove(folder_.path() + "/0001_double.up.sql");
    std::filesystem::remove(folder_.path() + "/0001_double.down.sql");
    std::filesystem::remove(folder_.path() + "/0002_second.down.sql");
    EXPECT_FALSE(read_schema(folder_.path()).ok()) << "no way down";
    write("0002_second", "SELECT 1", "SELECT 1");
    write("3_third", "SELECT 1", "SELECT 1");
    EXPECT_FALSE(read_schema(folder_.path()).ok()) << "a bad name";
}

TEST_F(MigratorTest, WaitsForAnotherMigratorByPolling) {
    write_two();
    pg::Session other = test::connect_or_abort(db_.url());
    ASSERT_TRUE(other.execute_script("SELECT pg_advisory_lock(772, -1)"));
    std::thread migrating([&] { EXPECT_TRUE(up().ok()); });
    EXPECT_TRUE(test::wait_until([&] {
        return other
                   .execute(
                       "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_try_advisory_lock%' AND state = 'idle'"
                       " AND datname = current_database()")
                   ->size() == 1;
    })) << "it holds no transaction and waits for no lock between its tries";
    EXPECT_FALSE(exists("first"));
    ASSERT_TRUE(other.execute_script("SELECT pg_advisory_unlock(772, -1)"));
    migrating.join();
    EXPECT_TRUE(exists("second"));
}

TEST(RealMigrations, GoUpAndDownAndUpAgainWithoutATrace) {
    Stores db(test::empty_database());
    pg::Session session = test::connect_or_abort(db.url());
    const auto migrations = read_schema(test::migrations_dir());
    ASSERT_TRUE(migrations.ok());
    Migrator migrator(session, migrations.value());
    for (int i = 0; i < 2; ++i) {
        ASSERT_EQ(migrator.up().value().size(), migrations->size());
        while (!migrator.down().value().empty()) {
        }
        EXPECT_EQ(db.sql("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'S') AND "
                         "relname <> 'messaging._migration'"),
                  "");
        EXPECT_EQ(db.number("SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace"), 0);
    }
}

TEST(ContentLimit, FollowsTheConfigurationUpAndDown) {
    Stores db(test::fresh_database());
    pg::Session session = test::connect_or_abort(db.url());
    Migrator migrator(session, {});
    const auto fits = [&](int bytes) {
        return session
            .execute_script("INSERT INTO messages (recipient, content) VALUES ('+1', repeat('x', " + std::to_string(bytes) + "))")
            .ok();
    };
    ASSERT_TRUE(migrator.align_content_limit(10000).ok());
    EXPECT_TRUE(fits(10000));
    EXPECT_FALSE(fits(10001));
    const auto refused = migrator.align_content_limit(100);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().kind, core::ErrorKind::kConflict);
    EXPECT_NE(refused.error().message.find("MAX_CONTENT_BYTES"), std::string::npos);
    EXPECT_TRUE(fits(9999)) << "a refused change changes nothing";
    ASSERT_TRUE(session.execute_script("TRUNCATE messages"));
    ASSERT_TRUE(migrator.align_content_limit(100).ok());
    EXPECT_FALSE(fits(101));
    EXPECT_TRUE(fits(100));
    EXPECT_FALSE(fits(0));
    ASSERT_TRUE(migrator.align_content_limit(100).ok());
}

TEST(Migrate, TheSubcommandBringsADatabaseUpAndServeRefusesBefore) {
    app::Config config;
    config.database_url = test::empty_database();
    config.migrations_dir = test::migrations_dir();
    config.max_content_bytes = 2000;
    Stores db(config.database_url);
    pg::Connection& session = db.open_session(api_session_settings());
    const auto check = [&](const std::vector<Migration>& migrations) {
        return db.answer<core::Nothing>([&](auto done) { check_schema(session, migrations, std::move(done)); });
    };
    auto migrations = read_schema(test::migrations_dir()).value();
    const auto pending = check(migrations);
    ASSERT_FALSE(pending.ok());
    EXPECT_EQ(pending.error().kind, core::ErrorKind::kConflict);
    EXPECT_NE(pending.error().message.find("messaging migrate up"), std::string::npos);
    EXPECT_NE(pending.error().message.find("0001_messages"), std::string::npos);
    EXPECT_EQ(app::run_migrate(config, "up"), 0);
    EXPECT_TRUE(check(migrations).ok());
    migrations.push_back({static_cast<int>(migrations.size()) + 1, "9999_next", "SELECT 1", "SELECT 1"});
    EXPECT_NE(check(migrations).error().message.find("(9999_next)"), std::string::npos) << "only what is pending is named";
    migrations.pop_back();
    migrations.back().up += " ";
    EXPECT_NE(check(migrations).error().message.find(migrations.back().name + ".up.sql was edited"), std::string::npos);
    migrations.back().up.pop_back();
    EXPECT_EQ(app::run_migrate(config, "up"), 0);
    EXPECT_EQ(app::run_migrate(config, "status"), 0);
    EXPECT_EQ(app::run_migrate(config, "down"), 0);
    EXPECT_FALSE(check(migrations).ok());
    config.database_url = "postgresql:///nowhere?host=/nonexistent";
    EXPECT_EQ(app::run_migrate(config, "up"), 1);
}

}  // namespace
}  // namespace messaging::repository
