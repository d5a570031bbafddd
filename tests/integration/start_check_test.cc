// What serve refuses before it touches a message, and that migrate says the same. tests/integration/rights_test.cc has the roles.
#include "schema/start_check.h"

#include "repository/session_settings.h"
#include "schema/migrator.h"
#include "support/places.h"
#include "support/private_postgres.h"
#include "support/stores.h"

namespace messaging::repository {
namespace {

using test::Stores;

class StartCheck : public testing::Test {
protected:
    core::Result<schema::StartFacts> check(Stores& db) {
        return db.answer<schema::StartFacts>(
            [&](auto done) { schema::check_start(db.open_session(api_session_settings()), files_, std::move(done)); });
    }
    static void expect_conflict(const core::Error& error, const std::string& words) {
        EXPECT_EQ(error.kind, core::ErrorKind::kConflict);
        EXPECT_NE(error.message.find(words), std::string::npos) << error.message;
    }
    core::Result<std::vector<std::string>> migrate(const std::string& url, bool up = true) {
        pg::Session session = test::connect_or_abort(url);
        schema::Migrator migrator(session, files_);
        return up ? migrator.up() : migrator.down(true);
    }

    schema::SchemaFiles files_ = schema::read_schema(test::migrations_dir()).value();
};

TEST_F(StartCheck, NamesWhatIsPendingOrEdited) {
    Stores db(test::empty_database());
    expect_conflict(check(db).error(),
                    "migrations are pending (0001_messages, 0002_engine, 0003_api): run `messaging migrate up`");
    ASSERT_TRUE(migrate(db.url()).ok());
    const auto facts = check(db);
    ASSERT_TRUE(facts.ok()) << facts.error().message;
    EXPECT_EQ(facts->database_tag, db.sql("SELECT tag FROM messaging._database"));
    files_.migrations.push_back({static_cast<int>(files_.migrations.size()) + 1, "9999_next", "SELECT 1", "SELECT 1"});
    expect_conflict(check(db).error(), "(9999_next)");
    files_.migrations.pop_back();
    files_.functions += " ";
    expect_conflict(check(db).error(), "(functions)");
    files_.functions.pop_back();
    files_.migrations.back().up += " ";
    expect_conflict(check(db).error(), files_.migrations.back().name + ".up.sql was edited");
    files_.migrations.back().up.pop_back();
    ASSERT_TRUE(migrate(db.url(), false).ok());
    expect_conflict(check(db).error(), "0003_api");
}

TEST_F(StartCheck, RefusesTheLayoutOfBeforeTheFirstReleaseAsMigrateDoes) {
    Stores db(test::empty_database());
    db.sql("CREATE TABLE schema_migrations (version integer)");
    Stores other(test::empty_database());
    other.sql("CREATE TABLE schema_migrations (version integer)");
    EXPECT_TRUE(migrate(other.url()).ok()) << "another program's table of that name is none of ours";
    db.sql("CREATE TABLE message_queue (id bigint)");
    for (const std::string& words :
         {std::string("there is no upgrade"), std::string("INSERT INTO messages (recipient, content)")}) {
        expect_conflict(check(db).error(), words);
        expect_conflict(migrate(db.url()).error(), words);
        expect_conflict(migrate(db.url(), false).error(), words);
    }
    EXPECT_EQ(db.sql("SELECT to_regnamespace('messaging') IS NULL"), "true") << "nothing was made beside it";
}

TEST_F(StartCheck, RefusesADatabaseThatIsNotUtf8AsMigrateDoes) {
    test::PrivatePostgres& server = test::shared_postgres();
    server.run_sql("CREATE DATABASE ascii TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'");
    Stores db(server.url("ascii"));
    expect_conflict(migrate(db.url()).error(), "the database's encoding is SQL_ASCII");
    EXPECT_EQ(db.sql("SELECT to_regnamespace('messaging') IS NULL"), "true");
    expect_conflict(check(db).error(), "the database's encoding is SQL_ASCII");
    expect_conflict(check(db).error(), "createdb -T template0 -E UTF8");
}

}  // namespace
}  // namespace messaging::repository
