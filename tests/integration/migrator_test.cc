// Migrations against a real PostgreSQL, from folders of the test's own.
#include "schema/migrator.h"

#include <filesystem>
#include <fstream>
#include <thread>

#include "commands/migrate.h"
#include "support/places.h"
#include "support/private_postgres.h"
#include "support/stores.h"

namespace messaging::repository {
namespace {

using test::Stores;
using Names = std::vector<std::string>;

class MigratorTest : public testing::Test {
protected:
    void write(const std::string& name, const std::string& up, const std::string& down) {
        std::ofstream(folder_.path() + "/" + name + ".up.sql") << up;
        std::ofstream(folder_.path() + "/" + name + ".down.sql") << down;
    }
    void write_functions(const std::string& name, const std::string& sql) {
        std::filesystem::create_directories(folder_.path() + "/functions");
        std::ofstream(folder_.path() + "/functions/" + name + ".sql") << sql;
    }
    void write_two() {
        write("0001_first", "CREATE TABLE first (id int)", "DROP TABLE first");
        write("0002_second", "CREATE TABLE second (id int)", "DROP TABLE second");
    }
    // A session for each: the lock of a migrator lasts as long as its session.
    template <typename Use>
    auto with_migrator(Use use) {
        pg::Session session = test::connect_or_abort(db_.url());
        auto migrations = schema::read_schema(folder_.path());
        EXPECT_TRUE(migrations.ok()) << (migrations ? "" : migrations.error().message);
        schema::Migrator migrator(session, std::move(migrations.value()));
        return use(migrator);
    }
    auto up() {
        return with_migrator([](schema::Migrator& migrator) { return migrator.up(); });
    }
    auto down() {
        return with_migrator([](schema::Migrator& migrator) { return migrator.down(false); });
    }
    bool exists(const std::string& table) { return db_.sql("SELECT to_regclass('" + table + "') IS NOT NULL") == "true"; }

    test::TemporaryDirectory folder_;
    Stores db_{test::empty_database()};
};

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
    const auto before = with_migrator([](schema::Migrator& migrator) { return migrator.status(); });
    ASSERT_EQ(before->size(), 2U);
    EXPECT_FALSE(before.value()[0].applied);
    EXPECT_FALSE(exists("messaging._migration")) << "asking changes nothing";
    ASSERT_TRUE(up().ok());
    const auto after = with_migrator([](schema::Migrator& migrator) { return migrator.status(); });
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
    EXPECT_FALSE(schema::read_schema(folder_.path()).ok()) << "empty";
    EXPECT_FALSE(schema::read_schema(folder_.path() + "/missing").ok());
    write("0002_second", "SELECT 1", "SELECT 1");
    EXPECT_FALSE(schema::read_schema(folder_.path()).ok()) << "a gap";
    write("0001_first", "SELECT 1", "SELECT 1");
    EXPECT_TRUE(schema::read_schema(folder_.path()).ok());
    write("0001_double", "SELECT 1", "SELECT 1");
    EXPECT_FALSE(schema::read_schema(folder_.path()).ok()) << "a number twice";
    std::filesystem::remove(folder_.path() + "/0001_double.up.sql");
    std::filesystem::remove(folder_.path() + "/0001_double.down.sql");
    std::filesystem::remove(folder_.path() + "/0002_second.down.sql");
    EXPECT_FALSE(schema::read_schema(folder_.path()).ok()) << "no way down";
    write("0002_second", "SELECT 1", "SELECT 1");
    write("3_third", "SELECT 1", "SELECT 1");
    EXPECT_FALSE(schema::read_schema(folder_.path()).ok()) << "a bad name";
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

TEST_F(MigratorTest, TwoAtOnceApplyEachFileOnce) {
    write("0001_first", "CREATE TABLE first (id int); SELECT pg_sleep(0.3)", "DROP TABLE first");
    write_functions("one", "CREATE OR REPLACE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1';");
    std::vector<Names> applied(2);
    std::thread other([&] { applied[1] = up().value(); });
    applied[0] = up().value();
    other.join();
    EXPECT_EQ(applied[0].size() + applied[1].size(), 2U);
    EXPECT_TRUE(applied[0].empty() || applied[1].empty()) << "the second finds nothing to do";
}

TEST_F(MigratorTest, AppliesTheFunctionsOnceAndAgainWhenOneOfThemChanges) {
    write("0001_first", "CREATE TABLE first (id int)", "DROP TABLE first");
    write_functions("a", "CREATE OR REPLACE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1';");
    write_functions("b", "CREATE OR REPLACE FUNCTION two() RETURNS int LANGUAGE sql AS 'SELECT one() + 1';");
    EXPECT_EQ(up().value(), (Names{"0001_first", "functions"})) << "tables first, then the files in the order of their names";
    EXPECT_TRUE(up().value().empty());
    write_functions("a", "CREATE OR REPLACE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 10';");
    EXPECT_EQ(up().value(), Names{"functions"});
    EXPECT_EQ(db_.sql("SELECT two()"), "11");
    EXPECT_TRUE(up().value().empty());
    write_functions("a", "CREATE OR REPLACE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 100'; SELECT no_such_column;");
    const auto failed = up();
    ASSERT_FALSE(failed.ok());
    EXPECT_NE(failed.error().message.find("functions: "), std::string::npos) << failed.error().message;
    EXPECT_EQ(db_.sql("SELECT two()"), "11") << "all or nothing";
}

TEST_F(MigratorTest, AfterAStepDownTheFunctionsAreAppliedAgain) {
    write_two();
    write_functions("a", "CREATE OR REPLACE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1';");
    ASSERT_TRUE(up().ok());
    EXPECT_EQ(down().value(), Names{"0002_second"});
    EXPECT_EQ(up().value(), (Names{"0002_second", "functions"})) << "a trigger of theirs may have gone with its table";
}

TEST_F(MigratorTest, AFileWithoutTransactionRunsStatementByStatement) {
    write("0001_first", "CREATE TABLE first (id int)", "DROP TABLE first");
    write("0002_index",
          "-- no transaction\nDROP INDEX CONCURRENTLY IF EXISTS first_id;\nCREATE INDEX CONCURRENTLY first_id\n    ON first "
          "(id);\n\n",
          "-- no transaction\nDROP INDEX CONCURRENTLY first_id;");
    EXPECT_EQ(up().value(), (Names{"0001_first", "0002_index"}));
    EXPECT_TRUE(exists("first_id"));
    EXPECT_EQ(down().value(), Names{"0002_index"});
    EXPECT_FALSE(exists("first_id"));
    write("0002_index", "-- no transaction\nCREATE TABLE half (id int);\nSELECT no_such_column;\n", "SELECT 1");
    EXPECT_FALSE(up().ok());
    EXPECT_TRUE(exists("half"));
    EXPECT_EQ(db_.sql("SELECT version FROM messaging._migration"), "1") << "what has failed is not applied";
}

TEST_F(MigratorTest, GivesUpWhenATableStaysLocked) {
    write_two();
    ASSERT_TRUE(up().ok());
    pg::Session other = test::connect_or_abort(db_.url());
    ASSERT_TRUE(other.execute_script("BEGIN; LOCK TABLE first"));
    write("0003_third", "SET LOCAL lock_timeout = '100ms'; ALTER TABLE first ADD x int", "SELECT 1");
    const auto refused = up();
    ASSERT_FALSE(refused.ok());
    EXPECT_NE(refused.error().message.find("another transaction has locked a table"), std::string::npos)
        << refused.error().message;
    ASSERT_TRUE(other.execute_script("COMMIT"));
    EXPECT_EQ(up().value(), Names{"0003_third"});
    write("0004_fourth", "CREATE TABLE told AS SELECT current_setting('lock_timeout') AS lock_timeout", "SELECT 1");
    ASSERT_TRUE(up().ok());
    EXPECT_EQ(db_.sql("SELECT lock_timeout FROM told"), "10s");
}

TEST_F(MigratorTest, TheClientsOwnEncodingChangesNoChecksum) {
    write("0001_first", "CREATE TABLE first (id int) -- Größe …", "DROP TABLE first");
    ASSERT_EQ(setenv("PGCLIENTENCODING", "LATIN1", 1), 0);
    EXPECT_TRUE(up().ok());
    unsetenv("PGCLIENTENCODING");
    EXPECT_TRUE(up().ok());
}

TEST_F(MigratorTest, NeedsNoRightToCreateSchemasWhereTheSchemaIsThere) {
    write("0001_first", "CREATE TABLE messaging.first (id int)", "DROP TABLE messaging.first");
    db_.sql("DO $$ BEGIN IF to_regrole('schema_owner') IS NULL THEN CREATE ROLE schema_owner; END IF; END $$");
    db_.sql("CREATE SCHEMA messaging AUTHORIZATION schema_owner");
    pg::Session session = test::connect_or_abort(db_.url());
    ASSERT_TRUE(session.execute_script("SET ROLE schema_owner"));
    const auto applied = schema::Migrator(session, schema::read_schema(folder_.path()).value()).up();
    ASSERT_TRUE(applied.ok()) << applied.error().message;
    EXPECT_TRUE(exists("messaging.first"));
}

// The names of everything in public but what extensions bring.
std::string in_public(Stores& db) {
    return db.sql(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace UNION ALL "
        "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace UNION ALL "
        "SELECT typname FROM pg_type WHERE typnamespace = 'public'::regnamespace AND typelem = 0"
        " AND typrelid NOT IN (SELECT oid FROM pg_class WHERE relkind = 'S') ORDER BY 1");
}

TEST(RealMigrations, PutNothingButMessagesIntoPublic) {
    Stores db(test::fresh_database());
    EXPECT_EQ(in_public(db), "messages messages messages_event messages_id_seq messages_pkey messages_recipient")
        << "the table and its row type";
}

TEST(RealMigrations, GoUpAndDownAndUpAgainWithoutATrace) {
    Stores db(test::empty_database());
    pg::Session session = test::connect_or_abort(db.url());
    const auto files = schema::read_schema(test::migrations_dir());
    ASSERT_TRUE(files.ok());
    schema::Migrator migrator(session, files.value());
    for (int i = 0; i < 2; ++i) {
        ASSERT_EQ(migrator.up().value().size(), files->migrations.size() + 1) << "and the functions";
        while (!migrator.down(true).value().empty()) {
        }
        EXPECT_EQ(in_public(db), "");
        EXPECT_EQ(
            db.sql("SELECT relname FROM pg_class WHERE relnamespace = 'messaging'::regnamespace AND relkind = 'r' ORDER BY 1"),
            "_function_file _migration");
        EXPECT_EQ(db.number("SELECT count(*) FROM pg_proc WHERE pronamespace = 'messaging'::regnamespace"), 0);
    }
}

// Down by any number of steps and up again: everything is there as after the first time.
TEST(RealMigrations, AnyNumberOfStepsDownIsMadeGoodByUp) {
    const auto files = schema::read_schema(test::migrations_dir());
    for (std::size_t steps = 1; steps <= files->migrations.size(); ++steps) {
        Stores db(test::fresh_database());
        const std::string triggers =
            "SELECT tgrelid::regclass || ' ' || tgname || ' ' || tgenabled::text FROM pg_trigger WHERE NOT tgisinternal ORDER BY "
            "1";
        const std::string before = db.sql(triggers);
        db.sql("INSERT INTO messaging.endpoints (name, url) VALUES ('other', 'http://127.0.0.1/')");
        pg::Session session = test::connect_or_abort(db.url());
        schema::Migrator migrator(session, files.value());
        for (std::size_t i = 0; i < steps; ++i) ASSERT_TRUE(migrator.down(true).ok());
        const auto again = migrator.up();
        ASSERT_TRUE(again.ok()) << steps << ": " << again.error().message;
        EXPECT_EQ(db.sql(triggers), before) << steps;
        const bool kept = steps < files->migrations.size();
        EXPECT_EQ(db.sql("SELECT e.id, name FROM messaging.endpoints e JOIN messaging._endpoint_state s ON s.endpoint_id = e.id "
                         "ORDER BY 1"),
                  kept ? "1|default 2|other" : "1|default");
        db.sql("INSERT INTO messages (recipient, content) VALUES ('a', 'b')");
        EXPECT_EQ(db.number("SELECT count(*) FROM messaging._queue"), 1) << steps;
        db.sql("TRUNCATE messages");
        EXPECT_EQ(db.number("SELECT count(*) FROM messaging._queue"), 0) << steps;
    }
}

// A trigger that needed a table which the step has dropped made every such statement fail.
TEST(RealMigrations, TheTablesThatAStepDownLeavesTakeEveryChange) {
    const auto files = schema::read_schema(test::migrations_dir());
    for (std::size_t steps = 1; steps < files->migrations.size(); ++steps) {
        Stores db(test::fresh_database());
        pg::Session session = test::connect_or_abort(db.url());
        schema::Migrator migrator(session, files.value());
        for (std::size_t i = 0; i < steps; ++i) ASSERT_TRUE(migrator.down(true).ok());
        for (const char* change :
             {"INSERT INTO messages (recipient, content) VALUES ('a', 'b')",
              "INSERT INTO messages (recipient, content, is_sent) VALUES ('a', 'b', true)",
              "UPDATE messages SET is_sent = NOT is_sent", "UPDATE messages SET is_sent = false",
              "UPDATE messages SET endpoint_id = 2", "DELETE FROM messages", "TRUNCATE messages",
              "INSERT INTO messaging.endpoints (name, url) VALUES ('other', 'http://127.0.0.1/')",
              "UPDATE messaging._endpoint_state SET state = 'backlogged'",
              "UPDATE messaging._endpoint_state SET state = 'active'", "UPDATE messaging.endpoints SET max_in_flight = 1",
              "DELETE FROM messaging.endpoints", "TRUNCATE messaging.endpoints"}) {
            const auto changed = session.execute_script(change);
            EXPECT_TRUE(changed.ok()) << steps << " down, " << change << ": " << (changed ? "" : changed.error().message);
        }
    }
}

TEST(RealMigrations, TheFunctionsPutADisabledOrMissingTriggerRightAndKeepTheEndpoints) {
    Stores db(test::fresh_database());
    db.sql("ALTER TABLE messages DISABLE TRIGGER messaging_insert");
    db.sql("DROP TRIGGER messaging_truncate ON messages");
    db.sql("DELETE FROM messaging.endpoints");
    db.sql("DELETE FROM messaging._function_file");
    pg::Session session = test::connect_or_abort(db.url());
    EXPECT_EQ(schema::Migrator(session, schema::read_schema(test::migrations_dir()).value()).up().value(), Names{"functions"});
    EXPECT_EQ(db.number("SELECT count(*) FROM pg_trigger WHERE tgrelid = 'messages'::regclass AND tgenabled = 'O'"), 6);
    EXPECT_EQ(db.number("SELECT count(*) FROM messaging.endpoints"), 0) << "what an operator has deleted stays away";
}

TEST(ContentLimit, FollowsTheConfigurationUpAndDown) {
    Stores db(test::fresh_database());
    pg::Session session = test::connect_or_abort(db.url());
    schema::Migrator migrator(session, {});
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

TEST(Migrate, TheSubcommandAnswersWithItsExitStatus) {
    app::Config config;
    config.database_url = test::empty_database();
    config.migrations_dir = test::migrations_dir();
    config.max_content_bytes = 2000;
    EXPECT_EQ(commands::run_migrate(config, "up", false), 0);
    EXPECT_EQ(commands::run_migrate(config, "up", false), 0);
    EXPECT_EQ(commands::run_migrate(config, "status", false), 0);
    EXPECT_EQ(commands::run_migrate(config, "down", false), 0);
    config.database_url = "postgresql:///nowhere?host=/nonexistent";
    EXPECT_EQ(commands::run_migrate(config, "up", false), 1);
}

TEST(Migrate, DownRefusesToTakeMessagesAwayOrWhatAnEngineNeeds) {
    Stores db(test::fresh_database());
    app::Config config;
    config.database_url = db.url();
    config.migrations_dir = test::migrations_dir();
    config.max_content_bytes = 4096;
    pg::Session engine = test::connect_or_abort(db.url());
    ASSERT_TRUE(engine.execute_script("SELECT pg_advisory_lock(772, 1)"));
    EXPECT_EQ(commands::run_migrate(config, "down", false), 1);
    ASSERT_TRUE(engine.execute_script("SELECT pg_advisory_unlock(772, 1)"));
    db.sql("INSERT INTO messages (recipient, content) VALUES ('a', 'b')");
    EXPECT_EQ(commands::run_migrate(config, "down", false), 1);
    EXPECT_EQ(db.number("SELECT count(*) FROM messages"), 1);
    EXPECT_EQ(commands::run_migrate(config, "down", true), 0);
    EXPECT_EQ(commands::run_migrate(config, "down", true), 0);
    db.sql("INSERT INTO messages (recipient, content) VALUES ('a', 'c')");  // without the queue no trigger is left that needs it
    EXPECT_EQ(commands::run_migrate(config, "up", false), 0);
    EXPECT_EQ(db.number("SELECT count(*) FROM messages"), 2);
}

}  // namespace
}  // namespace messaging::repository
