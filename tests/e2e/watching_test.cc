// What an operator sees: metrics, logs, health.
#include <gtest/gtest.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "support/places.h"
#include "support/private_postgres.h"
#include "support/private_redis.h"
#include "support/world.h"

namespace messaging::test {
namespace {

TEST(Metrics, TellWhatHappenedAndPassPromtool) {
    const Receiver good;
    const Receiver bad({"--status", "503"});
    const PrivateRedis redis;
    Service service({{"WEBHOOK_URL", good.url()}, {"MAX_ATTEMPTS", "2"}, {"BACKOFF_BASE", "50ms"}, {"REDIS_URL", redis.url()}});
    service.sql("INSERT INTO messaging.endpoints (name, url) VALUES ('bad', '" + bad.url() + "')");
    service.sql("INSERT INTO messages (recipient, content) SELECT 'a', 'b' FROM generate_series(1, 10)");
    service.sql("INSERT INTO messages (recipient, content, endpoint_id) VALUES ('a', 'never', 2)");
    std::string text;
    EXPECT_TRUE(wait_until([&] {
        text = call("GET", service.url("/metrics")).body;
        return sample(text, "messaging_deliveries_total{outcome=\"dead\"}") == 1 &&
               sample(text, "messaging_receipts_total") == 10 && sample(text, "messaging_dead_messages") == 1;
    }));
    for (const auto& [name, value] :
         std::vector<std::pair<std::string, double>>{{"messaging_deliveries_total{outcome=\"delivered\"}", 10},
                                                     {"messaging_deliveries_total{outcome=\"retry\"}", 1},
                                                     {"messaging_attempts_total{status_class=\"2xx\"}", 10},
                                                     {"messaging_attempts_total{status_class=\"5xx\"}", 2},
                                                     {"messaging_attempt_duration_seconds_count", 12},
                                                     {"messaging_insert_to_sent_seconds_count", 10},
                                                     {"messaging_recorded_outcomes_total", 12},
                                                     {"messaging_in_flight_requests", 0},
                                                     {"messaging_pending_messages", 0},
                                                     {"messaging_oldest_pending_age_seconds", 0},
                                                     {"messaging_running", 1},
                                                     {"messaging_redis_errors_total", 0},
                                                     {"messaging_reconnects_total{session=\"postgres_claim\"}", 0},
                                                     {"messaging_reconnects_total{session=\"redis\"}", 0}}) {
        EXPECT_EQ(sample(text, name), value) << name;
    }
    for (const char* name : {"messaging_claim_duration_seconds_count", "messaging_claim_size_messages_sum",
                             "messaging_record_duration_seconds_count",
                             "messaging_http_requests_total{method=\"GET\",route=\"/readyz\",status=\"200\"}",
                             "messaging_http_request_duration_seconds_count"}) {
        EXPECT_GT(sample(text, name), 0) << name;
    }
    EXPECT_NE(text.find("messaging_loop_lag_seconds{loop=\"api\"}"), std::string::npos);
    EXPECT_NE(text.find("messaging_build_info{"), std::string::npos);

    const TemporaryDirectory directory;
    std::ofstream(directory.path() + "/metrics") << text;
    ProcessOptions promtool;
    promtool.arguments = {"sh", "-c", "promtool check metrics < " + directory.path() + "/metrics"};
    const CommandResult checked = run_command(promtool);
    EXPECT_EQ(checked.exit_code, 0) << checked.output << " (promtool is in Debian's package prometheus)";
    EXPECT_EQ(checked.output, "");
}

TEST(Metrics, CountWhatRedisMisses) {
    const Receiver receiver;
    Service service({{"WEBHOOK_URL", receiver.url()}, {"REDIS_URL", "redis://127.0.0.1:" + std::to_string(free_port()) + "/0"}});
    EXPECT_TRUE(wait_until([&] { return sample(call("GET", service.url("/metrics")).body, "messaging_redis_errors_total") > 0; }))
        << "without Redis the service is ready all the same";
}

TEST(Logs, AreValidJsonWithoutContentsOrSecretsWhateverComes) {
    const std::string hostile = "Secret\"content\\ \t {\"a\":1} \xF0\x9F\x98\x80 \\u0000";
    const Receiver bad({"--status", "500"});
    Service service({{"WEBHOOK_URL", bad.url() + "?q=\"x\"\\y"},
                     {"WEBHOOK_AUTH_KEY", "auth-key-secret"},
                     {"API_TOKEN", "api-token-secret"},
                     {"LOG_FORMAT", "json"},
                     {"LOG_LEVEL", "debug"},
                     {"MAX_ATTEMPTS", "1"}});
    service.sql("INSERT INTO messages (recipient, content) VALUES ('+90recipient', $$" + hostile + "$$)");
    ASSERT_TRUE(wait_until([&] { return service.sql("SELECT count(*) FROM messaging._dead") == "1"; }));
    call("GET", service.url("/nothing/%22%0a%00here?x=\"\n"), "",
         {{"X-Request-Id", "\"quoted\""}, {"Authorization", "Bearer wrong-secret"}});
    call("POST", service.url("/messages"), R"({"recipient": "posted-recipient", "content": "posted-content"})",
         {{"Authorization", "Bearer api-token-secret"}});
    service.send(SIGTERM);
    EXPECT_EQ(service.wait(), 0);
    std::istringstream lines(service.output());
    int count = 0;
    for (std::string line; std::getline(lines, line); ++count) {
        const auto parsed = core::JsonDocument::parse(line);
        ASSERT_TRUE(parsed.ok()) << line;
        for (const char* field : {"time", "level", "message"}) EXPECT_TRUE(parsed->root().member(field)) << line;
    }
    EXPECT_GT(count, 5);
    for (const char* secret : {"Secret", "+90recipient", "posted-", "auth-key-secret", "token-secret", "wrong-secret"}) {
        EXPECT_EQ(service.output().find(secret), std::string::npos) << secret;
    }
}

TEST(Logs, HaveARequestIdBesideItsFailure) {
    const Receiver receiver;
    Service service({{"WEBHOOK_URL", receiver.url()}, {"LOG_LEVEL", "debug"}});
    call("GET", service.url("/status"), "", {{"X-Request-Id", "look-for-me"}});
    EXPECT_TRUE(
        wait_until([&] { return service.output().find("request look-for-me: GET /status answered 200") != std::string::npos; }));
}

TEST(Health, TheSubcommandAsksTheService) {
    const Receiver receiver;
    Service service({{"WEBHOOK_URL", receiver.url()}});
    const std::string port = service.url("").substr(service.url("").rfind(':') + 1);
    const auto check = [&](std::vector<std::string> arguments) {
        ProcessOptions options;
        options.arguments = {messaging_binary(), "healthcheck"};
        options.arguments.insert(options.arguments.end(), arguments.begin(), arguments.end());
        return run_command(options).exit_code;
    };
    EXPECT_EQ(check({"--port", port}), 0);
    EXPECT_EQ(check({"--ready", "--port", port}), 0);
    service.send(SIGTERM);
    service.wait();
    EXPECT_EQ(check({"--port", port}), 1);
}

// The engine's own thread, which carries its name.
pid_t engine_thread(pid_t process) {
    for (const auto& task : std::filesystem::directory_iterator("/proc/" + std::to_string(process) + "/task")) {
        if (read_text_file(task.path().string() + "/comm") == "engine\n") return std::stoi(task.path().filename().string());
    }
    return 0;
}

// Halts a thread of which this process is the tracer, where it waits for events: anywhere else it could hold a lock that
// the API's thread needs too (the allocator's, the log's). False when it never waited there.
bool halt_while_it_waits(pid_t process, pid_t thread) {
    return wait_until([&] {
        int status = 0;
        if (ptrace(PTRACE_INTERRUPT, thread, nullptr, nullptr) != 0 || waitpid(thread, &status, __WALL) != thread) return false;
        const std::string call =
            read_text_file("/proc/" + std::to_string(process) + "/task/" + std::to_string(thread) + "/syscall");
        const auto waits_in = [&](long number) { return call.rfind(std::to_string(number) + " ", 0) == 0; };
        if (waits_in(SYS_epoll_wait) || waits_in(SYS_epoll_pwait) || waits_in(SYS_epoll_pwait2)) return true;
        ptrace(PTRACE_CONT, thread, nullptr, nullptr);
        return false;
    });
}

// Regression: /readyz answered 200 as soon as one of the API's three sessions was up, and a POST after that got 503.
TEST(Health, IsReadyOnlyWithEverySessionThatTheApiNeeds) {
    const std::string owned = migrated(empty_database());
    auto connected = pg::Session::connect(owned, "test");
    ASSERT_TRUE(connected.ok());
    pg::Session& owner = connected.value();
    ASSERT_TRUE(owner.execute_script("CREATE ROLE ready LOGIN; SELECT messaging.grant_to('ready', 'service')").ok());
    std::string url = owned;
    url.replace(url.find("postgres@"), std::string("postgres").size(), "ready");
    Service service({{"WEBHOOK_URL", "http://127.0.0.1:1/"}}, url);
    for (const char* session : {"messaging api", "messaging api write"}) {
        ASSERT_TRUE(owner.execute_script("ALTER ROLE ready CONNECTION LIMIT 0").ok());
        ASSERT_TRUE(owner
                        .execute_script("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ready' AND "
                                        "application_name = '" +
                                        std::string(session) + "'")
                        .ok());
        EXPECT_TRUE(wait_until([&] { return call("GET", service.url("/readyz")).status == 503; })) << session;
        std::string body;
        EXPECT_TRUE(wait_until([&] {
            body = call("GET", service.url("/readyz?verbose")).body;
            return body.find("too many connections") != std::string::npos;
        })) << body;
        ASSERT_TRUE(owner.execute_script("ALTER ROLE ready CONNECTION LIMIT -1").ok());
        EXPECT_TRUE(wait_until([&] { return call("GET", service.url("/readyz")).status == 200; })) << session;
    }
}

// Regression: with one engine nobody looked at it, and /readyz stayed 200.
TEST(Health, AnEngineThatHangsIsNotReady) {
    Service service(Environment{{"WEBHOOK_URL", "http://127.0.0.1:1/"}});
    const pid_t thread = engine_thread(service.pid());
    ASSERT_NE(thread, 0);
    if (ptrace(PTRACE_SEIZE, thread, nullptr, nullptr) != 0) GTEST_SKIP() << "this machine allows no ptrace";
    ASSERT_TRUE(halt_while_it_waits(service.pid(), thread));
    EXPECT_TRUE(wait_until([&] { return call("GET", service.url("/readyz")).status == 503; }, std::chrono::seconds(20)));
    EXPECT_EQ(call("GET", service.url("/livez")).status, 200) << "the API answers";
    EXPECT_EQ(ptrace(PTRACE_DETACH, thread, nullptr, nullptr), 0);
    EXPECT_TRUE(wait_until([&] { return call("GET", service.url("/readyz")).status == 200; })) << "and it recovers";
}

}  // namespace
}  // namespace messaging::test
