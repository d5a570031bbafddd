// Strangers' rows and moments: whatever a role with INSERT alone writes, and whenever sessions are cut, nothing is lost and
// nobody is stopped. Each test is a finding of readers who had not written the code.
#include <gtest/gtest.h>

#include <csignal>
#include <random>

#include "support/places.h"
#include "support/private_postgres.h"
#include "support/stores.h"
#include "support/tally.h"
#include "support/world.h"

namespace messaging::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr const char* kMisplaced = "SELECT count(*) FROM messaging.misplaced()";

class Strangers : public testing::Test {
protected:
    static void wait(milliseconds time) {
        const SteadyTime end = std::chrono::steady_clock::now() + time;
        wait_until([&] { return std::chrono::steady_clock::now() >= end; }, time * 2);
    }
    static SteadyTime now() { return std::chrono::steady_clock::now(); }
    void script(const std::string& sql) {
        auto session = connect_or_abort(database_);
        const auto done = session.execute_script(sql);
        ASSERT_TRUE(done.ok()) << sql << ": " << done.error().message;
    }
    long number(const std::string& sql) {
        auto session = connect_or_abort(database_);
        const auto rows = session.execute(sql.c_str());
        EXPECT_TRUE(rows.ok()) << sql << ": " << (rows ? "" : rows.error().message);
        return rows ? std::stol(std::string(rows->text(0, 0))) : -1;
    }
    // A role of this database's own name, since roles belong to the whole server; it may insert messages and nothing else.
    std::string writer() {
        static int count = 0;
        std::string role = "writer_" + std::to_string(getpid()) + "_" + std::to_string(++count);
        script("CREATE ROLE " + role + "; GRANT INSERT ON messages TO " + role);
        roles_.push_back(role);
        return role;
    }
    void TearDown() override {
        for (const std::string& role : roles_) script("DROP OWNED BY " + role + "; DROP ROLE " + role);
    }
    // One more message of the default endpoint: from its commit until it has arrived.
    void expect_good_message_within(milliseconds within) {
        const SteadyTime inserted = now();
        commit_messages(database_, 1);
        const std::string id = text("SELECT messaging.webhook_id(max(id)) FROM messages WHERE endpoint_id = 1");
        EXPECT_TRUE(wait_until([&] { return receiver_.count(id) > 0; }, within)) << "a good message waits";
        std::printf("a good message arrived after %.0f ms\n",
                    std::chrono::duration<double, std::milli>(now() - inserted).count());
    }
    std::string text(const std::string& sql) {
        auto session = connect_or_abort(database_);
        const auto rows = session.execute(sql.c_str());
        EXPECT_TRUE(rows.ok()) << sql;
        return rows && rows->size() > 0 ? std::string(rows->text(0, 0)) : "";
    }

    ScriptedReceiver receiver_;
    std::string database_ = migrated(empty_database());
    std::vector<std::string> roles_;
};

// 103 to 158 of 6,000 messages were in no table, and 70 s later still: a failure recorded between the commit of a move and its
// answer was dropped, and then its claim was ended. The trigger makes each move last, as a slow disk or a standby would.
TEST_F(Strangers, AListeningSessionCutWhileClaimsAreMovedLosesNothing) {
    constexpr int kMessages = 6000;
    script(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_catalog.pg_sleep(0.15); RETURN NULL; END';"
        "CREATE TRIGGER slow AFTER UPDATE OF instance_id ON messaging._claim FOR EACH STATEMENT EXECUTE FUNCTION slow()");
    std::mt19937 random(1);
    receiver_.set_script([&random](const http::Request&, std::size_t) {
        ScriptedAnswer answer;
        answer.status = 500;
        answer.delay = milliseconds(20 + random() % 90);
        return answer;
    });
    script(
        "INSERT INTO messages (recipient, content, created_at) SELECT 'a', 'b', now() - interval '5 min' FROM "
        "generate_series(1, " +
        std::to_string(kMessages) + ")");
    {
        Service service({{"WEBHOOK_URL", receiver_.url()}, {"BACKOFF_BASE", "1h"}, {"BREAKER_FAILURES", "0"}}, database_);
        for (int cut = 0; cut < 40; ++cut) {
            wait(milliseconds(350));
            script(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name "
                "LIKE 'messaging listen%'");
        }
        const auto settled = [&] { return number("SELECT count(*) FROM messaging._schedule WHERE due_at > now()") == kMessages; };
        EXPECT_TRUE(wait_until(settled, seconds(60))) << number("SELECT count(*) FROM messaging._schedule WHERE due_at > now()");
        EXPECT_EQ(number(kMisplaced), 0);
        std::printf(
            "listening session cut 40 times: %d messages, misplaced %ld, reconciled %.0f, late outcomes %.0f, kept %.0f\n",
            kMessages, number(kMisplaced), service.metric("messaging_reconciled_messages_total"),
            service.metric("messaging_late_outcomes_total"), service.metric("messaging_kept_messages_total"));
        EXPECT_EQ(service.metric("messaging_reconciled_messages_total"), 0) << "the protocol keeps them, not the net below it";
    }
    EXPECT_EQ(number(kMisplaced), 0) << "and after a clean end";
}

// 52 of 6,960 messages were in no table, and not found after a restart.
TEST_F(Strangers, SessionsTerminatedAtRandomUnderLoadLoseNothing) {
    ScriptedReceiver other([](const http::Request&, std::size_t nth) {
        ScriptedAnswer answer;
        answer.delay = milliseconds(static_cast<int>(nth % 7) * 10);
        if (nth % 3 == 1) answer.status = 500;
        if (nth % 5 == 2) answer.close = true;
        return answer;
    });
    const Environment environment{{"WEBHOOK_URL", receiver_.url()}, {"ENGINES", "2"},         {"MAX_ATTEMPTS", "1000"},
                                  {"BACKOFF_BASE", "100ms"},        {"BACKOFF_CAP", "500ms"}, {"REQUEST_TIMEOUT", "1s"},
                                  {"CONNECT_TIMEOUT", "1s"}};
    {
        Service first(environment, database_);
        Service second(environment, database_);
        script("INSERT INTO messaging.endpoints (name, url, max_in_flight) VALUES ('slow', '" + other.url() +
               "', 4), ('fast', '" + other.url() + "', 64)");
        const SteadyTime end = now() + seconds(35);
        while (now() < end) {
            script(
                "INSERT INTO messages (recipient, content, endpoint_id) SELECT '+9', 'x', 1 + g % 3 FROM generate_series(1, 120) "
                "g");
            script(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> "
                "pg_backend_pid() AND random() < 0.2");
            wait(milliseconds(250));
        }
        const auto sent = [&] { return number("SELECT count(*) FROM messages WHERE NOT is_sent") == 0; };
        EXPECT_TRUE(wait_until(sent, seconds(60))) << "unsent: " << number("SELECT count(*) FROM messages WHERE NOT is_sent");
        wait(seconds(2));
        EXPECT_EQ(number(kMisplaced), 0);
        std::printf("sessions terminated at random for 35 s: %ld messages, misplaced %ld, dead %ld, reconciled %.0f\n",
                    number("SELECT count(*) FROM messages"), number(kMisplaced), number("SELECT count(*) FROM messaging._dead"),
                    first.metric("messaging_reconciled_messages_total") + second.metric("messaging_reconciled_messages_total"));
        EXPECT_EQ(number("SELECT count(*) FROM messaging._dead"), 0);
        EXPECT_EQ(first.metric("messaging_reconciled_messages_total") + second.metric("messaging_reconciled_messages_total"), 0);
    }
    EXPECT_EQ(number("SELECT count(*) FROM messaging._claim"), 0) << "after the clean end of both";
}

// One such row stopped all sending for ever, with /readyz 200.
TEST_F(Strangers, NoOddRowOfAnInsertOnlyRoleDelaysAGoodMessage) {
    Service service({{"WEBHOOK_URL", receiver_.url()}}, database_);
    const std::string role = writer();
    const std::vector<std::string> rows{"(recipient, content, created_at) VALUES ('a', 'x', 'infinity')",
                                        "(recipient, content, created_at) VALUES ('a', 'x', '-infinity')",
                                        "(recipient, content, created_at) VALUES ('a', 'x', '4713-01-01 BC')",
                                        "(recipient, content, created_at) VALUES ('a', 'x', '2999-12-31')",
                                        "(recipient, content, attempts) VALUES ('a', 'x', 2147483647)",
                                        "(recipient, content, attempts) VALUES ('a', 'x', -2147483648)",
                                        "(recipient, content, attempts) VALUES ('a', 'x', 32000)",
                                        "(recipient, content, abandoned) VALUES ('a', 'x', 1000)",
                                        "(recipient, content, generation) VALUES ('a', 'x', 2147483647)",
                                        "(recipient, content, endpoint_id) VALUES ('a', 'x', -1)",
                                        "(recipient, content, endpoint_id) VALUES ('a', 'x', 9223372036854775807)",
                                        "(id, recipient, content) OVERRIDING SYSTEM VALUE VALUES (9223372036854775807, 'a', 'x')",
                                        "(id, recipient, content) OVERRIDING SYSTEM VALUE VALUES (-5, 'a', 'x')",
                                        "(recipient, content, sent_at) VALUES ('a', 'x', 'infinity')",
                                        "(recipient, content, is_sent, sent_at) VALUES ('a', 'x', true, now())",
                                        "(recipient, content, last_error) VALUES ('a', 'x', repeat('e', 1000000))",
                                        "(recipient, content, receiver_message_id) VALUES ('a', 'x', repeat('e', 1000000))",
                                        "(recipient, content, expires_at) VALUES ('a', 'x', now())",
                                        "(recipient, content) VALUES ('a', E'\\x01\\x7f\\u200b\\ufeff\\U0010ffff')"};
    long accepted = 0;
    for (const std::string& row : rows) {
        auto session = connect_or_abort(database_);
        ASSERT_TRUE(session.execute_script("SET ROLE " + role));
        accepted += session.execute_script("INSERT INTO messages " + row).ok() ? 1 : 0;
        ASSERT_TRUE(session.execute_script("RESET ROLE"));
        expect_good_message_within(seconds(2));
    }
    EXPECT_GE(accepted, 7) << "most of this list is refused";
    EXPECT_TRUE(wait_until([&] {
        return number(
                   "SELECT count(*) FROM messages m WHERE NOT is_sent AND NOT EXISTS (SELECT FROM messaging._dead d WHERE d.id = "
                   "m.id)") == 0;
    })) << "what was accepted is sent or dead-lettered";
    EXPECT_EQ(number(kMisplaced), 0);
}

// The same row past the CHECK: the claim that meets it fails, as some later one may that nobody has thought of.
TEST_F(Strangers, ARowThatNoClaimCanReadIsDeadLetteredWithTheReason) {
    if (number("SELECT current_setting('server_version_num')") >= 170000) GTEST_SKIP() << "from 17 on PostgreSQL can read it";
    script("ALTER TABLE messages DROP CONSTRAINT messages_created_at");
    Service service({{"WEBHOOK_URL", receiver_.url()}}, database_);
    commit_messages(database_, 50);
    script("INSERT INTO messages (recipient, content, created_at) VALUES ('a', 'x', 'infinity')");
    expect_good_message_within(seconds(20));
    ASSERT_TRUE(wait_until([&] { return number("SELECT count(*) FROM messaging._dead") == 1; }));
    EXPECT_NE(text("SELECT reason FROM messaging._dead").find("cannot be read"), std::string::npos)
        << text("SELECT reason FROM messaging._dead");
    EXPECT_TRUE(wait_until([&] { return number("SELECT count(*) FROM messages WHERE NOT is_sent") == 1; }));
    expect_good_message_within(seconds(2));
}

// Each such message was put off by five seconds, for ever; from some 100,000 on nothing else was sent.
TEST_F(Strangers, TwentyThousandMessagesForNoEndpointAreDeadLetteredAndDelayNobody) {
    Service service({{"WEBHOOK_URL", receiver_.url()}}, database_);
    script("INSERT INTO messages (recipient, content, endpoint_id) SELECT 'a', 'b', 999 FROM generate_series(1, 20000)");
    expect_good_message_within(seconds(2));
    EXPECT_TRUE(
        wait_until([&] { return number("SELECT count(*) FROM messaging._dead WHERE reason = 'no such endpoint: 999'") == 20000; },
                   seconds(20)));
    EXPECT_EQ(number(kMisplaced), 0);
}

// A million retries that are due went before each new message.
TEST_F(Strangers, ManyOverdueRetriesDoNotDelayANewMessage) {
    ScriptedAnswer slowly;
    slowly.delay = milliseconds(5);
    receiver_.set_script(ScriptedReceiver::always(slowly));
    script(
        "SET session_replication_role = replica;"
        "INSERT INTO messages (recipient, content, attempts) SELECT 'a', 'b', 1 FROM generate_series(1, 100000);"
        "INSERT INTO messaging._schedule SELECT id, now() - interval '1 h' FROM messages");
    Service service({{"WEBHOOK_URL", receiver_.url()}}, database_);
    ASSERT_TRUE(receiver_.wait_for(500));
    expect_good_message_within(seconds(3));
    EXPECT_GT(number("SELECT count(*) FROM messaging._schedule"), 10000) << "while most of them still waited";
}

// One row lock on one message cut recording to a tenth, and let 10,000 sent messages pile up unrecorded.
TEST_F(Strangers, OneLockedRowDelaysOneMessage) {
    constexpr long kMessages = 20000;
    commit_messages(database_, kMessages);
    auto editor = connect_or_abort(database_);
    ASSERT_TRUE(editor.execute_script("BEGIN; SELECT FROM messages WHERE id = 500 FOR UPDATE"));
    Service service({{"WEBHOOK_URL", receiver_.url()}}, database_);
    const SteadyTime began = now();
    const auto recorded = [&] { return number("SELECT count(*) FROM messages WHERE is_sent"); };
    EXPECT_TRUE(wait_until([&] { return recorded() == kMessages - 1; }, seconds(30))) << recorded();
    std::printf("beside one locked row %ld of %ld messages were recorded after %.1f s\n", recorded(), kMessages,
                std::chrono::duration<double>(now() - began).count());
    EXPECT_GT(service.metric("messaging_locked_outcomes_total"), 0);
    ASSERT_TRUE(editor.execute_script("ROLLBACK"));
    EXPECT_TRUE(wait_until([&] { return recorded() == kMessages; }, seconds(5)));
    EXPECT_EQ(receiver_.distinct(), static_cast<std::size_t>(kMessages));
    EXPECT_EQ(receiver_.count(), receiver_.distinct());
}

// A constraint of the application's that no sent row satisfies: PostgreSQL refuses the record of one message for ever.
TEST_F(Strangers, AMessageThatAConstraintRefusesDelaysNobody) {
    constexpr long kMessages = 20000;
    commit_messages(database_, kMessages);
    script("ALTER TABLE messages ADD CONSTRAINT theirs CHECK (id <> 500 OR attempts = 0)");
    Service service({{"WEBHOOK_URL", receiver_.url()}}, database_);
    const SteadyTime began = now();
    const auto recorded = [&] { return number("SELECT count(*) FROM messages WHERE is_sent"); };
    EXPECT_TRUE(wait_until([&] { return recorded() == kMessages - 1; }, seconds(30))) << recorded();
    std::printf("beside one refused row %ld of %ld messages were recorded after %.1f s\n", recorded(), kMessages,
                std::chrono::duration<double>(now() - began).count());
    for (int round = 0; round < 5; ++round) expect_good_message_within(seconds(1));
    EXPECT_TRUE(wait_until([&] { return recorded() == kMessages + 4; }, seconds(5)));
    script("ALTER TABLE messages DROP CONSTRAINT theirs");
    EXPECT_TRUE(wait_until([&] { return recorded() == kMessages + 5; }, seconds(5)));
    EXPECT_EQ(receiver_.count(), receiver_.distinct());
}

// With MAX_ATTEMPTS=1 a single kill -9 left 874 of 900 messages dead, of which 64 at the most had been sent.
// PostgreSQL reports no error there, and the message was sent again every few seconds, for ever.
TEST_F(Strangers, AMessageWhoseRowATriggerKeepsUnchangedIsDeadLettered) {
    receiver_.set_script([](const http::Request& request, std::size_t) {
        ScriptedAnswer answer;
        answer.status = request.body.find("fails") == std::string::npos ? 200 : 503;
        return answer;
    });
    script(
        "CREATE FUNCTION keep_row() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "CREATE TRIGGER keep BEFORE UPDATE ON messages FOR EACH ROW WHEN (old.recipient = '+odd') EXECUTE FUNCTION keep_row()");
    Service service({{"WEBHOOK_URL", receiver_.url()}}, database_);
    script("INSERT INTO messages (recipient, content) VALUES ('+odd', 'fine'), ('+odd', 'fails'), ('+1', 'good')");
    EXPECT_TRUE(wait_until([&] { return number("SELECT count(*) FROM messaging._dead") == 2; }, seconds(30)));
    EXPECT_TRUE(wait_until([&] { return number("SELECT count(*) FROM messages WHERE is_sent") == 1; }, seconds(10)));
    EXPECT_EQ(text("SELECT reason FROM messaging._dead WHERE id = 1"),
              "accepted by the receiver, but it cannot be recorded: a trigger on messages leaves its row unchanged");
    EXPECT_EQ(number(kMisplaced), 0);
    const std::size_t received = receiver_.count();
    wait(seconds(7));  // a full scan and a rescheduling of orphans fit into it
    EXPECT_EQ(receiver_.count(), received) << "nothing is sent again";
    EXPECT_EQ(service.metric("messaging_dead_lettered_messages_total"), 2);
}

TEST_F(Strangers, WhatOnlyWaitedWhenItsEngineDiedHasUsedNoAttempt) {
    ScriptedAnswer slowly;
    slowly.delay = milliseconds(300);
    receiver_.set_script(ScriptedReceiver::always(slowly));
    const Environment environment{{"WEBHOOK_URL", receiver_.url()}, {"MAX_ATTEMPTS", "1"}};
    commit_messages(database_, 900);
    {
        Service victim(environment, database_);
        ASSERT_TRUE(receiver_.wait_for(100));
        victim.send(SIGKILL);
        ASSERT_TRUE(victim.wait().has_value());
    }
    receiver_.set_script(ScriptedReceiver::accept_all());
    Service service(environment, database_);
    EXPECT_TRUE(wait_until([&] { return number("SELECT count(*) FROM messages WHERE is_sent") == 900; }));
    EXPECT_EQ(number("SELECT count(*) FROM messaging._dead"), 0);
}

// A claim of 1,000 messages of 1 MB was a gigabyte.
TEST_F(Strangers, LargeMessagesAreClaimedInBoundedMemory) {
    constexpr long kMessages = 600;
    database_ = empty_database();
    ProcessOptions migrate = Service::process({{"MAX_CONTENT_BYTES", "1048576"}}, database_);
    migrate.arguments = {messaging_binary(), "migrate", "up"};
    ASSERT_EQ(run_command(migrate).exit_code, 0);
    script("INSERT INTO messages (recipient, content) SELECT 'a', repeat('x', 1048576) FROM generate_series(1, " +
           std::to_string(kMessages) + ")");
    Receiver receiver({"--delay", "20ms"});
    Service service({{"WEBHOOK_URL", receiver.url()}, {"MAX_CONTENT_BYTES", "1048576"}, {"MAX_IN_FLIGHT", "512"}}, database_);
    long most = 0;
    EXPECT_TRUE(wait_until(
        [&] {
            most = std::max(most, service.resident_bytes());
            return number("SELECT count(*) FROM messages WHERE is_sent") == kMessages;
        },
        seconds(60)));
    std::printf("%ld messages of 1 MB: %ld MB resident at the most\n", kMessages, most >> 20);
    EXPECT_LT(most, 400L << 20);
}

}  // namespace
}  // namespace messaging::test
