// The beginning of `messaging serve`: what it refuses, and what it waits for.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "support/places.h"
#include "support/private_postgres.h"
#include "support/scripted_receiver.h"
#include "support/world.h"

namespace messaging::test {
namespace {

CommandResult serve(const Environment& environment) {
    ProcessOptions options;
    options.arguments = {messaging_binary(), "serve"};
    options.environment.assign(environment.begin(), environment.end());
    options.empty_environment = true;
    return run_command(options);
}

TEST(Start, ListsEveryConfigurationErrorAtOnceAndExits78) {
    const CommandResult refused = serve({{"DATABASE_URL", "mysql://x"},
                                         {"REDIS_URL", "http://x"},
                                         {"PORT", "70000"},
                                         {"ENGINES", "none"},
                                         {"REQUEST_TIMEOUT", "10 parsecs"},
                                         {"LOG_FORMAT", "xml"},
                                         {"CA_CERTIFICATES", "/"},
                                         {"HTTP2", "maybe"},
                                         {"ALLOWED_NETWORKS", "10.0.0.5/8"},
                                         {"MIGRATIONS_DIR", "/nowhere"},
                                         {"DOCS_DIR", "/nowhere"},
                                         {"API_TOKEN", "token-secret"},
                                         {"API_TOKEN_FILE", "/nowhere"},
                                         {"WEBHOOK_AUTH_KEY", "line\nbreak-secret"},
                                         {"SECRETS_KEY", "no-base64-secret"}});
    EXPECT_EQ(refused.exit_code, 78) << refused.output;
    for (const char* name :
         {"DATABASE_URL", "REDIS_URL", "PORT", "ENGINES", "REQUEST_TIMEOUT", "LOG_FORMAT", "CA_CERTIFICATES", "HTTP2",
          "ALLOWED_NETWORKS", "MIGRATIONS_DIR", "DOCS_DIR", "API_TOKEN_FILE", "WEBHOOK_URL", "WEBHOOK_AUTH_KEY", "SECRETS_KEY"}) {
        EXPECT_NE(refused.output.find(name), std::string::npos) << name << " in\n" << refused.output;
    }
    EXPECT_EQ(refused.output.find("-secret"), std::string::npos) << refused.output;
    EXPECT_EQ(refused.output.find("CONNECT_TIMEOUT"), std::string::npos) << "nothing is wrong with it\n" << refused.output;
}

TEST(Start, RefusesAPublicAddressWithoutATokenUnlessThatIsMeant) {
    const CommandResult refused =
        serve({{"DATABASE_URL", "postgres://127.0.0.1:1/x"}, {"WEBHOOK_URL", "http://127.0.0.1:1/"}, {"HTTP_ADDR", "0.0.0.0"}});
    EXPECT_EQ(refused.exit_code, 78);
    EXPECT_NE(refused.output.find("API_TOKEN"), std::string::npos) << refused.output;
    const Receiver receiver;
    for (const Environment& allowed : {Environment{{"API_TOKEN", "t"}}, Environment{{"ALLOW_UNAUTHENTICATED", "true"}}}) {
        Environment environment = allowed;
        environment["HTTP_ADDR"] = "0.0.0.0";
        environment["WEBHOOK_URL"] = receiver.url();
        const Service service(environment);
        EXPECT_EQ(call("GET", service.url("/livez")).status, 200);
    }
}

TEST(Start, WrongUsageExits64) {
    for (const std::vector<std::string>& wrong :
         {std::vector<std::string>{}, {"fly"}, {"serve", "--no-such-flag"}, {"migrate", "sideways"}}) {
        ProcessOptions options;
        options.arguments = {messaging_binary()};
        options.arguments.insert(options.arguments.end(), wrong.begin(), wrong.end());
        EXPECT_EQ(run_command(options).exit_code, 64);
    }
}

CommandResult run_messaging(const std::vector<std::string>& arguments, const Environment& environment = {}) {
    ProcessOptions options;
    options.arguments = {messaging_binary()};
    options.arguments.insert(options.arguments.end(), arguments.begin(), arguments.end());
    options.environment.assign(environment.begin(), environment.end());
    options.empty_environment = true;
    return run_command(options);
}

// Review by use: each listed all settings, and no defaults.
TEST(CommandLine, HelpHasTheSettingsThatCountAndTheirDefaults) {
    const std::string health = run_messaging({"healthcheck", "--help"}).output;
    EXPECT_NE(health.find("--port TEXT=8080"), std::string::npos) << health;
    EXPECT_NE(health.find("--http-addr"), std::string::npos);
    EXPECT_EQ(health.find("--redis-url"), std::string::npos) << health;
    const std::string faker = run_messaging({"faker", "--help"}).output;
    EXPECT_NE(faker.find("=5000"), std::string::npos) << faker;
    EXPECT_NE(faker.find("--database-url"), std::string::npos);
    EXPECT_EQ(faker.find("--webhook-url"), std::string::npos) << faker;
    EXPECT_NE(run_messaging({"receiver", "--help"}).output.find("=9090"), std::string::npos);
    const std::string serve = run_messaging({"serve", "--help"}).output;
    EXPECT_NE(serve.find("--backoff-cap TEXT=6h"), std::string::npos) << serve;
    EXPECT_EQ(run_messaging({"healthcheck", "--port", "1", "--redis-url", "redis://h"}).exit_code, 1)
        << "taken, though not in its help";
}

TEST(CommandLine, AWrongConfigurationIsAnExitStatusOfConfigAndHealthcheck) {
    const Environment good{{"DATABASE_URL", "postgres://h/d"}, {"WEBHOOK_URL", "http://127.0.0.1/"}};
    EXPECT_EQ(run_messaging({"config"}, good).exit_code, 0);
    EXPECT_EQ(run_messaging({"config", "--check"}, good).exit_code, 0);
    Environment bad = good;
    bad["PORT"] = "abc";
    EXPECT_EQ(run_messaging({"config"}, bad).exit_code, 78);
    EXPECT_EQ(run_messaging({"config", "--check"}, bad).exit_code, 78);
    EXPECT_EQ(run_messaging({"healthcheck"}, bad).exit_code, 78);
    EXPECT_EQ(run_messaging({"healthcheck", "--port", "abc"}).exit_code, 78);
    EXPECT_EQ(run_messaging({"migrate", "status"}, {{"DATABASE_URL_FILE", "/"}}).exit_code, 78) << "a folder";
}

// With the migrations of `folder`; it must end by itself.
CommandResult serve_on(const std::string& database, const std::string& folder = migrations_dir()) {
    return serve({{"DATABASE_URL", database}, {"WEBHOOK_URL", "http://127.0.0.1:1/"}, {"PORT", "0"}, {"MIGRATIONS_DIR", folder}});
}

void expect_refused(const CommandResult& refused, const std::string& words) {
    EXPECT_EQ(refused.exit_code, 1);
    EXPECT_NE(refused.output.find(words), std::string::npos) << refused.output;
}

TEST(Start, RefusesPendingMigrationsNamingTheCommand) { expect_refused(serve_on(empty_database()), "messaging migrate up"); }

TEST(Start, RefusesAnEditedMigrationNamingTheFile) {
    const std::string database = migrated(empty_database());
    const TemporaryDirectory directory;
    std::filesystem::copy(migrations_dir(), directory.path() + "/m", std::filesystem::copy_options::recursive);
    std::ofstream(directory.path() + "/m/functions/messages.sql", std::ios::app) << "-- edited\n";
    expect_refused(serve_on(database, directory.path() + "/m"), "migrations are pending (functions)");
    std::ofstream(directory.path() + "/m/0001_messages.up.sql", std::ios::app) << "-- edited\n";
    expect_refused(serve_on(database, directory.path() + "/m"), "0001_messages.up.sql was edited");
}

TEST(Start, RefusesTheLayoutOfBeforeTheFirstRelease) {
    const std::string database = empty_database();
    auto session = pg::Session::connect(database, "test");
    ASSERT_TRUE(
        session->execute_script("CREATE TABLE schema_migrations (version integer); CREATE TABLE message_queue (id bigint)"));
    expect_refused(serve_on(database), "there is no upgrade from it");
    ProcessOptions options;
    options.arguments = {messaging_binary(), "migrate", "up"};
    options.environment = {{"DATABASE_URL", database}, {"MIGRATIONS_DIR", migrations_dir()}};
    expect_refused(run_command(options), "there is no upgrade from it");
}

TEST(Start, RefusesADatabaseThatIsNotUtf8) {
    PrivatePostgres& server = shared_postgres();
    server.run_sql("CREATE DATABASE ascii TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'");
    expect_refused(serve_on(server.url("ascii")), "the database's encoding is SQL_ASCII");
}

TEST(Start, RefusesARoleWithoutRightsNamingThem) {
    std::string database = migrated(empty_database());
    shared_postgres().run_sql("CREATE ROLE stranger LOGIN");
    database.replace(database.find("postgres@"), std::string("postgres").size(), "stranger");
    expect_refused(serve_on(database), "SELECT messaging.grant_to('stranger', 'service')");
}

TEST(Start, WaitsForPostgresAndSaysSo) {
    PrivatePostgres postgres;
    const std::string database = migrated(postgres.create_database("late"));
    postgres.stop();
    const TemporaryDirectory directory;
    const std::string log = directory.path() + "/log";
    const Receiver receiver;
    ProcessOptions options;
    options.arguments = {messaging_binary(), "serve", "--port", "0"};
    options.environment = {{"DATABASE_URL", database}, {"WEBHOOK_URL", receiver.url()}, {"MIGRATIONS_DIR", migrations_dir()}};
    options.output_file = log;
    Process process(options);
    ASSERT_TRUE(wait_until([&] { return read_text_file(log).find("waiting for PostgreSQL") != std::string::npos; }))
        << read_text_file(log);
    postgres.start();
    postgres.run_sql("INSERT INTO messages (recipient, content) VALUES ('a', 'b')", "late");
    EXPECT_TRUE(wait_until([&] { return receiver.stat("distinct") == 1; })) << read_text_file(log);
    EXPECT_EQ(process.stop(SIGTERM), 0) << read_text_file(log);
}

TEST(Start, ASecretMayComeFromAFile) {
    const TemporaryDirectory directory;
    std::ofstream(directory.path() + "/token") << "from-a-file\n";
    const Receiver receiver;
    const Service service({{"WEBHOOK_URL", receiver.url()}, {"API_TOKEN_FILE", directory.path() + "/token"}});
    EXPECT_EQ(call("GET", service.url("/status")).status, 401);
    EXPECT_EQ(call("GET", service.url("/status"), "", {{"Authorization", "Bearer from-a-file"}}).status, 200);
}

// Regression: the process aborted, with every engine in it, at each such repeat.
TEST(Start, ARepeatAfterMaxContentBytesWasRaisedIsAnsweredAsTheFirstRequestWas) {
    const std::string database = empty_database();
    const auto migrate = [&](const char* limit) {
        ProcessOptions options = Service::process({{"MAX_CONTENT_BYTES", limit}}, database);
        options.arguments[1] = "migrate";
        options.arguments.emplace_back("up");
        ASSERT_EQ(run_command(options).exit_code, 0);
    };
    const std::string body =
        R"([{"recipient": "+1", "content": "short"}, {"recipient": "+2", "content": ")" + std::string(5000, 'x') + R"("}])";
    const http::Headers key{{"Idempotency-Key", "k"}};
    std::string first;
    migrate("4096");
    {
        const Service service({{"WEBHOOK_URL", "http://127.0.0.1:1/"}}, database);
        const HttpReply reply = call("POST", service.url("/messages"), body, key);
        EXPECT_EQ(reply.status, 207);
        first = reply.body;
    }
    migrate("8192");
    Service service({{"WEBHOOK_URL", "http://127.0.0.1:1/"}, {"MAX_CONTENT_BYTES", "8192"}}, database);
    const HttpReply again = call("POST", service.url("/messages"), body, key);
    EXPECT_EQ(again.status, 207);
    EXPECT_EQ(again.body, first);
    EXPECT_TRUE(service.running());
    EXPECT_EQ(service.sql("SELECT count(*) FROM messages"), "1");
}

std::string database_for_large_messages() {
    std::string database = empty_database();
    ProcessOptions options = Service::process({{"MAX_CONTENT_BYTES", "1048576"}}, database);
    options.arguments[1] = "migrate";
    options.arguments.emplace_back("up");
    EXPECT_EQ(run_command(options).exit_code, 0);
    return database;
}

// A page has its bounds in bytes, too.
TEST(Start, APageOfLargeMessagesIsShorterAndGoesOn) {
    Service service({{"WEBHOOK_URL", "http://127.0.0.1:1/"}, {"MAX_CONTENT_BYTES", "1048576"}}, database_for_large_messages());
    service.sql("INSERT INTO messages (recipient, content) SELECT 'a', 'b' FROM generate_series(1, 40)");
    const HttpReply page = call("GET", service.url("/messages?status=all&limit=250&with_content=true"));
    EXPECT_NE(page.body.find("\"limit\":16"), std::string::npos) << page.body.substr(page.body.find("\"meta\""));
    EXPECT_NE(page.body.find("\"next_cursor\":\""), std::string::npos);
    EXPECT_NE(call("GET", service.url("/messages?status=all&limit=250")).body.find("\"limit\":250"), std::string::npos)
        << "where contents are cut, the page is small";
}

// JSON takes six bytes for a control character: 96 MiB for such a page, which was refused with 503 for ever.
TEST(Start, APageOfControlCharactersIsSentAndGoesOn) {
    Service service({{"WEBHOOK_URL", "http://127.0.0.1:1/"}, {"MAX_CONTENT_BYTES", "1048576"}}, database_for_large_messages());
    service.sql(
        "INSERT INTO messages (recipient, content) SELECT i::text, repeat(E'\\x01', 1048576) FROM generate_series(1, 7) i");
    const std::string first = service.url("/messages?status=all&limit=16&with_content=true");
    std::string recipients;
    int pages = 0;
    for (std::string next = first; !next.empty() && pages < 10; ++pages) {
        const HttpReply page = call("GET", next);
        ASSERT_EQ(page.status, 200) << page.body.substr(0, 200);
        EXPECT_LT(page.body.size(), 18u << 20);
        EXPECT_NE(page.body.find("\"limit\":16"), std::string::npos) << "as asked";
        for (std::size_t at = page.body.find("\"recipient\":\""); at != std::string::npos;
             at = page.body.find("\"recipient\":\"", at + 1)) {
            recipients += page.body[at + 13];
        }
        const std::size_t cursor = page.body.find("\"next_cursor\":\"");
        next = cursor == std::string::npos
                   ? ""
                   : first + "&cursor=" + page.body.substr(cursor + 15, page.body.find('"', cursor + 15) - cursor - 15);
    }
    EXPECT_EQ(recipients, "7654321") << "each once";
    EXPECT_EQ(pages, 4);
}

// The last service started on a database redirects the messages of all: it must be seen in both logs, without what may be secret.
TEST(Start, AnotherWebhookUrlOnTheSameDatabaseIsToldByBoth) {
    const Receiver receiver;
    const std::string database = migrated(empty_database());
    Service first({{"WEBHOOK_URL", receiver.url() + "one?token=secret"}}, database);
    Service second({{"WEBHOOK_URL", receiver.url() + "two?token=secret"}}, database);
    EXPECT_NE(second.output().find("WEBHOOK_URL has changed"), std::string::npos) << second.output();
    EXPECT_TRUE(wait_until([&] {
        return first.output().find("WEBHOOK_URL of this process is not in force") != std::string::npos;
    })) << first.output();
    EXPECT_EQ(first.output().find("secret"), std::string::npos);
    EXPECT_EQ(second.output().find("secret"), std::string::npos);
}

// A stranger's finding: a database that was made anew under a running process had no URL, and messages used their attempts up.
TEST(Start, ADatabaseThatIsMadeAnewGetsTheWebhookUrlOfARunningProcess) {
    const Receiver receiver;
    Service service({{"WEBHOOK_URL", receiver.url()}});
    service.sql("UPDATE messaging.endpoints SET url = 'http://webhook-url-not-set.invalid/' WHERE id = 1");
    EXPECT_TRUE(wait_until([&] { return service.sql("SELECT url FROM messaging.endpoints WHERE id = 1") == receiver.url(); }))
        << service.output();
    service.sql("INSERT INTO messages (recipient, content) VALUES ('a', 'b')");
    EXPECT_TRUE(wait_until([&] { return service.sql("SELECT is_sent FROM messages") == "t"; }));
}

// It went to whatever address endpoint 1 had by then.
TEST(Start, TheAuthKeyGoesToTheOwnWebhookUrlOnly) {
    ScriptedReceiver own;
    ScriptedReceiver other;
    const std::string database = migrated(empty_database());
    Service first({{"WEBHOOK_URL", own.url()}, {"WEBHOOK_AUTH_KEY", "key of the first"}}, database);
    first.sql("INSERT INTO messages (recipient, content) VALUES ('a', 'b')");
    ASSERT_TRUE(own.wait_for(1));
    EXPECT_EQ(own.requests().front().request.header("x-ins-auth-key"), "key of the first");
    {
        Service second({{"WEBHOOK_URL", other.url()}}, database);
        second.send(SIGTERM);
        EXPECT_EQ(second.wait(), 0);
    }
    first.sql("INSERT INTO messages (recipient, content) VALUES ('a', 'to the other one')");
    ASSERT_TRUE(other.wait_for(1));
    EXPECT_FALSE(other.requests().front().request.header("x-ins-auth-key"));
}

// Review by use: a log rotation's or a closed terminal's SIGHUP was a crash, after which what was in flight was sent again.
TEST(Start, AHangupIsAnOrderlyStop) {
    ScriptedReceiver receiver([](const http::Request&, std::size_t) {
        ScriptedAnswer slow;
        slow.delay = std::chrono::milliseconds(700);
        return slow;
    });
    Service service({{"WEBHOOK_URL", receiver.url()}});
    service.sql("INSERT INTO messages (recipient, content) VALUES ('a', 'b')");
    ASSERT_TRUE(receiver.wait_for(1));
    service.send(SIGHUP);
    service.send(SIGHUP);
    EXPECT_EQ(service.wait(), 0) << service.output();
    EXPECT_EQ(service.sql("SELECT is_sent FROM messages"), "t");
}

// A stranger's finding: what a log rotation sends ended the process at once, and so did a log file at the size limit.
TEST(Start, SignalsThatMeanNothingToItDoNotEndIt) {
    Service service(Environment{{"WEBHOOK_URL", "http://127.0.0.1:9/"}});
    for (const int signal : {SIGUSR1, SIGUSR2, SIGPIPE, SIGXFSZ}) service.send(signal);
    EXPECT_EQ(call("GET", service.url("/livez")).status, 200);
    service.send(SIGTERM);
    EXPECT_EQ(service.wait(), 0) << service.output();
}

}  // namespace
}  // namespace messaging::test
