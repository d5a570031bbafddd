// Sessions that break, servers that are away or silent, and the way back.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pg/session.h"
#include "support/private_postgres.h"
#include "support/watched_connection.h"

namespace messaging::pg {
namespace {

using std::chrono_literals::operator""ms;
using test::empty_database;
using test::kOne;
using test::one_step;
using test::run_until;
using test::shared_postgres;
using test::WatchedConnection;
using Answer = WatchedConnection::Answer;

constexpr Statement kSleep{"sleep", "SELECT pg_sleep($1::float8)"};
constexpr Statement kWhoAmI{"who_am_i", "SELECT pg_backend_pid()"};
constexpr Statement kSetting{"setting", "SELECT current_setting($1::text)"};

// A TCP server that accepts by the kernel alone, and never says a word.
class SilentServer {
public:
    SilentServer() : descriptor_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t length = sizeof address;
        auto* const generic = reinterpret_cast<sockaddr*>(&address);
        EXPECT_EQ(bind(descriptor_, generic, length), 0);
        EXPECT_EQ(listen(descriptor_, 16), 0);
        EXPECT_EQ(getsockname(descriptor_, generic, &length), 0);
        port_ = ntohs(address.sin_port);
    }
    ~SilentServer() { close(descriptor_); }
    SilentServer(const SilentServer&) = delete;
    SilentServer& operator=(const SilentServer&) = delete;
    int port() const { return port_; }

private:
    int descriptor_;
    int port_ = 0;
};

constexpr Statement kJoin{"join", R"sql(
SELECT count(*) FROM unnest($1::bigint[]) AS u(id) JOIN growing g ON g.id = u.id AND NOT g.done)sql"};
constexpr Statement kExplainJoin{"explain_join", "EXPLAIN EXECUTE \"join\" ('{1,2}')"};

// A generic plan that was made for a small table reads the whole table, and PostgreSQL keeps it until the next ANALYZE.
TEST(PgConnection, APlanFollowsTheTablesGrowthWithinTheReplanPeriod) {
    const std::string url = empty_database();
    auto session = Session::connect(url, "test");
    ASSERT_TRUE(session.ok());
    for (const char* const sql :
         {"CREATE TABLE growing (id bigint PRIMARY KEY, done boolean NOT NULL) WITH (autovacuum_enabled = false)",
          "INSERT INTO growing SELECT n, true FROM generate_series(1, 50) n", "ANALYZE growing"}) {
        ASSERT_TRUE(session->execute(sql).ok()) << sql;
    }
    ConnectionOptions options;
    options.url = url;
    options.settings = {{"plan_cache_mode", "force_generic_plan"},
                        {"enable_seqscan", "off"},
                        {"enable_hashjoin", "off"},
                        {"enable_mergejoin", "off"}};
    options.replan_period = 50ms;
    WatchedConnection watched(url);
    watched.options = options;
    ASSERT_TRUE(watched.start_and_wait());
    const auto plan = [&] {
        std::string text;
        const auto answer = watched.run(one_step(kExplainJoin));
        if (!answer || !answer->ok()) return std::string("no answer");
        const Rows& rows = answer->value().front();
        for (int row = 0; row < rows.size(); ++row) text.append(rows.text(row, 0)).append("\n");
        return text;
    };
    Params ids;
    ids.bigint_array(std::vector<std::int64_t>{1, 2});
    watched.run_text(kJoin, ids);
    ASSERT_TRUE(session->execute("INSERT INTO growing SELECT n, false FROM generate_series(51, 60000) n").ok());
    const auto reads_by_key = [&] { return plan().find("Index Cond: (id = u.id)") != std::string::npos; };
    for (int i = 0; i < 200 && !reads_by_key(); ++i) watched.run_text(kSleep, std::move(Params().text("0.02")));
    EXPECT_TRUE(reads_by_key()) << plan();
}

TEST(PgConnection, ASessionThatIsReadOnlyIsReplaced) {
    const std::string url = empty_database();
    auto session = Session::connect(url, "test");
    ASSERT_TRUE(session.ok());
    const std::string database = session->execute("SELECT current_database()").value().text(0, 0).data();
    ASSERT_TRUE(session->execute("CREATE TABLE written (n int)").ok());
    ASSERT_TRUE(session->execute(("ALTER DATABASE " + database + " SET default_transaction_read_only = on").c_str()).ok());
    WatchedConnection watched(url);
    ASSERT_TRUE(watched.start_and_wait());
    ASSERT_TRUE(session->execute(("ALTER DATABASE " + database + " RESET default_transaction_read_only").c_str()).ok());
    constexpr static Statement kWrite{"write", "INSERT INTO written VALUES (1) RETURNING n"};
    EXPECT_NE(watched.run_text(kWrite).find("read-only"), std::string::npos) << "this session began read only";
    ASSERT_TRUE(run_until(watched.loop, [&] { return watched.ups == 2; }));
    EXPECT_EQ(watched.run_text(kWrite), "1");
}

TEST(PgConnection, ATerminatedBackendFailsItsWorkAndIsReplaced) {
    const std::string url = empty_database();
    WatchedConnection watched(url);
    ASSERT_TRUE(watched.start_and_wait());
    const std::string pid = watched.run_text(kWhoAmI);
    std::vector<core::ErrorKind> kinds;
    const auto remember = [&](const Answer& answer) {
        ASSERT_FALSE(answer.ok());
        EXPECT_TRUE(watched.downs.empty()) << "on_down comes after the pending work has failed";
        kinds.push_back(answer.error().kind);
    };
    watched.connection->execute(one_step(kSleep, Params().text("30")), remember);
    watched.connection->execute(one_step(kOne), remember);
    const std::string is_asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND pid = " + pid;
    ASSERT_TRUE(run_until(watched.loop, [&] { return shared_postgres().run_sql(is_asleep) == "1"; }));
    shared_postgres().run_sql("SELECT pg_terminate_backend(" + pid + ")");
    ASSERT_TRUE(run_until(watched.loop, [&] { return watched.ups == 2; }));
    EXPECT_EQ(kinds, (std::vector<core::ErrorKind>{core::ErrorKind::kUnavailable, core::ErrorKind::kUnavailable}));
    EXPECT_EQ(watched.downs.size(), 1u);
    EXPECT_EQ(watched.connection->reconnects(), 1u);
    EXPECT_EQ(watched.run_text(kOne), "1");  // prepared anew in the new session
    EXPECT_NE(watched.run_text(kWhoAmI), pid);
}

TEST(PgConnection, AnIdleSessionThatIsTerminatedIsReplaced) {
    WatchedConnection watched(empty_database());
    ASSERT_TRUE(watched.start_and_wait());
    shared_postgres().run_sql("SELECT pg_terminate_backend(" + watched.run_text(kWhoAmI) + ")");
    ASSERT_TRUE(run_until(watched.loop, [&] { return watched.ups == 2; }));
    EXPECT_EQ(watched.downs.size(), 1u);
}

TEST(PgConnection, ComesBackAfterAServerRestart) {
    test::PrivatePostgres server;
    WatchedConnection watched(server.tcp_url());
    watched.options.reconnect_min = 5ms;
    ASSERT_TRUE(watched.start_and_wait());
    server.stop();
    ASSERT_TRUE(run_until(watched.loop, [&] { return watched.downs.size() == 1 && watched.failures.size() >= 2; }));
    EXPECT_FALSE(watched.connection->up());
    EXPECT_EQ(watched.failures.back().kind, core::ErrorKind::kUnavailable);
    server.start();
    ASSERT_TRUE(run_until(watched.loop, [&] { return watched.ups == 2; }));
    EXPECT_EQ(watched.run_text(kOne), "1");
}

TEST(PgConnection, WaitsForAServerThatComesLater) {
    test::PrivatePostgres server;
    server.stop();
    WatchedConnection watched(server.tcp_url());
    watched.options.reconnect_min = 5ms;
    watched.start();
    ASSERT_TRUE(run_until(watched.loop, [&] { return watched.failures.size() >= 2; }));
    server.start();
    ASSERT_TRUE(run_until(watched.loop, [&] { return watched.ups == 1; }));
    EXPECT_TRUE(watched.downs.empty());
    EXPECT_EQ(watched.connection->reconnects(), 0u);
}

TEST(PgConnection, BacksOffWhileNobodyListens) {
    WatchedConnection watched("host=127.0.0.1 dbname=x port=" + std::to_string(test::free_port()));
    watched.random = test::FixedRandom(1.0);
    watched.options.reconnect_min = 20ms;
    watched.options.reconnect_max = 80ms;
    const auto begin = std::chrono::steady_clock::now();
    watched.start();
    ASSERT_TRUE(run_until(watched.loop, [&] { return watched.failures.size() == 5; }));
    EXPECT_GE(std::chrono::steady_clock::now() - begin, 20ms + 40ms + 80ms + 80ms - 10ms);
}

TEST(PgConnection, AWrongPasswordIsToldWithoutIt) {
    WatchedConnection watched(shared_postgres().tcp_url("postgres", "wrong-password"));
    watched.start();
    ASSERT_TRUE(run_until(watched.loop, [&] { return !watched.failures.empty(); }));
    EXPECT_NE(watched.failures[0].message.find("password authentication failed"), std::string::npos);
    EXPECT_EQ(watched.failures[0].message.find("wrong-password"), std::string::npos);
    EXPECT_EQ(watched.failures[0].message.find('\n'), std::string::npos);
}

TEST(PgConnection, CutsASessionThatDoesNotAnswerInTime) {
    WatchedConnection watched(empty_database());
    watched.options.reply_timeout = 100ms;
    ASSERT_TRUE(watched.start_and_wait());
    const auto answer = watched.run(one_step(kSleep, Params().text("30")));
    ASSERT_TRUE(answer && !answer->ok());
    EXPECT_EQ(answer->error().kind, core::ErrorKind::kTimeout);
    ASSERT_TRUE(run_until(watched.loop, [&] { return watched.ups == 2; }));
    EXPECT_EQ(watched.run_text(kOne), "1");
}

TEST(PgConnection, AnIdleSessionIsNotCut) {
    WatchedConnection watched(empty_database());
    watched.options.reply_timeout = 50ms;
    ASSERT_TRUE(watched.start_and_wait());
    EXPECT_EQ(watched.run_text(kOne), "1");
    bool later = false;
    const auto timer = watched.loop.make_timer([&] { later = true; });
    timer->start(150ms);
    ASSERT_TRUE(run_until(watched.loop, [&] { return later; }));
    EXPECT_TRUE(watched.downs.empty());
    EXPECT_EQ(watched.run_text(kOne), "1");
}

TEST(PgConnection, GivesUpOnAServerThatSaysNothing) {
    const SilentServer silent;
    WatchedConnection watched("host=127.0.0.1 dbname=x port=" + std::to_string(silent.port()));
    watched.options.connect_timeout = 50ms;
    watched.start();
    ASSERT_TRUE(run_until(watched.loop, [&] { return watched.failures.size() >= 2; }));
    EXPECT_EQ(watched.failures[0].kind, core::ErrorKind::kTimeout);
}

TEST(PgConnection, ASilentHostDoesNotHideTheNextOne) {
    const SilentServer silent;
    const std::string port = std::to_string(shared_postgres().port());
    WatchedConnection watched(
        "host=127.0.0.1,localhost dbname=postgres user=postgres password=" + std::string(test::PrivatePostgres::kPassword) +
        " port=" + std::to_string(silent.port()) + "," + port);
    watched.options.connect_timeout = 1000ms;
    watched.start();
    ASSERT_TRUE(run_until(watched.loop, [&] { return watched.ups == 1; }));
    EXPECT_EQ(watched.run_text(kSetting, Params().text("port")), port);
}

TEST(PgConnection, LooksHostNamesUpByItself) {
    WatchedConnection watched(
        "host=localhost dbname=postgres user=postgres password=" + std::string(test::PrivatePostgres::kPassword) +
        " port=" + std::to_string(shared_postgres().port()));
    ASSERT_TRUE(watched.start_and_wait());
    EXPECT_EQ(watched.run_text(kOne), "1");
}

TEST(PgConnection, AUrlThatIsNoneFailsLikeAnUnreachableServer) {
    WatchedConnection watched("postgresql://u:hidden%zz@h/x");
    watched.start();
    ASSERT_TRUE(run_until(watched.loop, [&] { return !watched.failures.empty(); }));
    EXPECT_EQ(watched.failures[0].kind, core::ErrorKind::kInvalid);
    EXPECT_EQ(watched.failures[0].message.find("hidden"), std::string::npos);
}

TEST(PgConnection, MayBeDestroyedWhileItConnects) {
    const SilentServer silent;
    WatchedConnection watched("host=localhost dbname=x port=" + std::to_string(silent.port()));
    watched.start();
    for (int i = 0; i < 3; ++i) test::run_once(watched.loop);
    watched.connection.reset();
    for (int i = 0; i < 5; ++i) test::run_once(watched.loop);
    EXPECT_EQ(watched.ups, 0);
}

}  // namespace
}  // namespace messaging::pg
