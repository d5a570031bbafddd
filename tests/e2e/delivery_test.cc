// psql is the API: what is inserted is received, and everything that must not be is not.
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>

#include "support/tls_receiver.h"
#include "support/world.h"

namespace messaging::test {
namespace {

Environment to(const Receiver& receiver, Environment more = {}) {
    more["WEBHOOK_URL"] = receiver.url();
    return more;
}

bool received(const Receiver& receiver, long distinct) {
    return wait_until([&] { return receiver.stat("distinct") >= distinct; });
}

TEST(Delivery, InsertIsReceivedAtOnceAndMarkedSent) {
    const Receiver receiver;
    Service service(to(receiver));
    service.sql("INSERT INTO messages (recipient, content) VALUES ('+905551111111', 'Merhaba 👋')");
    ASSERT_TRUE(received(receiver, 1));
    EXPECT_NE(receiver.recent().find("Merhaba 👋"), std::string::npos);
    ASSERT_TRUE(wait_until([&] { return service.sql("SELECT is_sent FROM messages") == "t"; }));
    EXPECT_EQ(service.sql("SELECT length(receiver_message_id) FROM messages"), "36");
    // Not at the next timer tick: the fallback period is a second.
    EXPECT_EQ(service.sql("SELECT sent_at - created_at < interval '500 milliseconds' FROM messages"), "t");
}

TEST(Delivery, BulkInsertIsReceivedExactlyOnce) {
    const Receiver receiver;
    Service service(to(receiver));
    service.sql("INSERT INTO messages (recipient, content) SELECT '+90' || g, 'n' || g FROM generate_series(1, 100000) g");
    ASSERT_TRUE(wait_until([&] { return receiver.stat("distinct") >= 100'000; }, std::chrono::seconds(200)));
    ASSERT_TRUE(wait_until([&] { return service.sql("SELECT count(*) FROM messages WHERE is_sent") == "100000"; }));
    EXPECT_EQ(receiver.stat("duplicates"), 0);
    EXPECT_EQ(service.sql("SELECT count(*) FROM messaging._queue"), "0");
    EXPECT_TRUE(wait_until([&] { return service.sql("SELECT count(*) FROM messaging._claim") == "0"; }));
    EXPECT_TRUE(wait_until([&] { return service.sql("SELECT count(*) FROM messaging._receipt_backlog") == "0"; }));
}

TEST(Delivery, OverTlsToACertificateOfAnAuthorityThatIsNamedByHttp1UnlessHttp2IsAskedFor) {
    const TlsReceiver receiver("h2");
    const Environment environment = {{"WEBHOOK_URL", receiver.url()}, {"CA_CERTIFICATES", receiver.certificate()}};
    for (const std::string http2 : {"false", "true"}) {
        Environment with = environment;
        with["HTTP2"] = http2;
        Service service(with);
        service.sql("INSERT INTO messages (recipient, content) VALUES ('a', 'b')");
        ASSERT_TRUE(wait_until([&] { return service.sql("SELECT is_sent FROM messages") == "t"; }));
        EXPECT_EQ(service.sql("SELECT left(receiver_message_id, 3) FROM messages"), http2 == "true" ? "2.0" : "1.1");
    }
    Service stranger({{"WEBHOOK_URL", receiver.url()}});
    stranger.sql("INSERT INTO messages (recipient, content) VALUES ('a', 'b')");
    ASSERT_TRUE(wait_until([&] { return stranger.sql("SELECT attempts FROM messages") == "1"; }));
    EXPECT_NE(stranger.sql("SELECT last_error FROM messages").find("certificate"), std::string::npos);
}

TEST(Delivery, RolledBackAndSentOnesAreNotSent) {
    const Receiver receiver;
    Service service(to(receiver));
    service.sql(
        "DO $$ BEGIN INSERT INTO messages (recipient, content) VALUES ('a', 'rolled back'); RAISE EXCEPTION 'x'; "
        "EXCEPTION WHEN raise_exception THEN INSERT INTO messages (recipient, content) VALUES ('b', 'kept'); END $$");
    service.sql("INSERT INTO messages (recipient, content, is_sent) VALUES ('c', 'sent before', true)");
    ASSERT_TRUE(received(receiver, 1));
    service.sql("INSERT INTO messages (recipient, content) VALUES ('d', 'last')");
    ASSERT_TRUE(received(receiver, 2));
    const std::string recent = receiver.recent();
    EXPECT_NE(recent.find("kept"), std::string::npos);
    EXPECT_EQ(recent.find("rolled back"), std::string::npos);
    EXPECT_EQ(recent.find("sent before"), std::string::npos);
}

TEST(Delivery, SettingIsSentToFalseSendsAgain) {
    const Receiver receiver;
    Service service(to(receiver));
    service.sql("INSERT INTO messages (recipient, content) VALUES ('a', 'twice')");
    ASSERT_TRUE(wait_until([&] { return service.sql("SELECT is_sent FROM messages") == "t"; }));
    service.sql("UPDATE messages SET is_sent = false");
    ASSERT_TRUE(wait_until([&] { return receiver.stat("received") == 2; }));
    EXPECT_EQ(receiver.stat("duplicates"), 1) << "the same webhook-id on every sending";
}

TEST(Delivery, StoppedMeansNothingIsClaimedAndStartSendsIt) {
    const Receiver receiver;
    Service service(to(receiver));
    ASSERT_EQ(call("POST", service.url("/stop")).status, 200);
    service.sql("INSERT INTO messages (recipient, content) VALUES ('a', 'deleted'), ('b', 'old'), ('c', 'kept')");
    service.sql("DELETE FROM messages WHERE content = 'deleted'");
    service.sql("UPDATE messages SET content = 'new' WHERE content = 'old'");
    EXPECT_FALSE(wait_until([&] { return receiver.stat("received") > 0; }, std::chrono::milliseconds(1500)));
    EXPECT_EQ(service.sql("SELECT count(*) FROM messaging._queue"), "3");
    ASSERT_EQ(call("POST", service.url("/stop")).status, 200) << "idempotent";
    ASSERT_EQ(call("POST", service.url("/start")).status, 200);
    ASSERT_TRUE(received(receiver, 2));
    const std::string recent = receiver.recent();
    EXPECT_NE(recent.find("new"), std::string::npos);
    EXPECT_EQ(recent.find("old"), std::string::npos);
    EXPECT_EQ(recent.find("deleted"), std::string::npos);
}

TEST(Delivery, RoleWithInsertOnlyCanEnqueue) {
    const Receiver receiver;
    Service service(to(receiver));
    service.sql("CREATE ROLE inserter");
    service.sql("GRANT INSERT ON messages TO inserter");
    auto session = pg::Session::connect(service.database_url(), "test");
    ASSERT_TRUE(session.ok());
    ASSERT_TRUE(session->execute_script("SET ROLE inserter; INSERT INTO messages (recipient, content) VALUES ('a', 'b')").ok());
    EXPECT_TRUE(received(receiver, 1));
    service.sql("DROP OWNED BY inserter");
    service.sql("DROP ROLE inserter");
}

TEST(Delivery, FailingMessageIsRetriedThenDeadAndCanBeReplayed) {
    const Receiver good;
    const Receiver bad({"--status", "503"});
    Service service(to(good, {{"MAX_ATTEMPTS", "2"}, {"BACKOFF_BASE", "50ms"}}));
    service.sql("INSERT INTO messaging.endpoints (name, url) VALUES ('bad', '" + bad.url() + "')");
    service.sql("INSERT INTO messages (recipient, content, endpoint_id) VALUES ('a', 'never', 2)");
    service.sql("INSERT INTO messages (recipient, content) VALUES ('b', 'always')");
    ASSERT_TRUE(received(good, 1)) << "a failing message holds up no other";
    ASSERT_TRUE(wait_until([&] { return service.sql("SELECT count(*) FROM messaging._dead") == "1"; }));
    EXPECT_EQ(service.sql("SELECT attempts FROM messages WHERE endpoint_id = 2"), "2");
    EXPECT_EQ(service.sql("SELECT count(*) FROM messaging._attempt"), "2");
    EXPECT_EQ(service.sql("SELECT reason FROM messaging._dead"), "the receiver answered HTTP 503");
    service.sql("UPDATE messaging.endpoints SET url = '" + good.url() + "' WHERE name = 'bad'");
    ASSERT_EQ(call("POST", service.url("/messages/1/retry")).status, 202);
    EXPECT_TRUE(received(good, 2));
    EXPECT_TRUE(wait_until([&] { return service.sql("SELECT count(*) FROM messages WHERE is_sent") == "2"; }));
    EXPECT_EQ(call("POST", service.url("/messages/9999/retry")).status, 404);
}

// The application's way through it: the endpoint fails, others go on, the operators hear of it, and nothing is lost meanwhile.
TEST(Delivery, AnEndpointThatOnlyFailsKeepsItsMessagesAndOperatorsAreTold) {
    const Receiver good;
    const Receiver bad({"--status", "500"});
    const Receiver operators;
    Service service(to(good, {{"BREAKER_FAILURES", "3"}, {"BACKOFF_BASE", "1s"}}));
    service.sql("INSERT INTO messaging.endpoints (name, url) VALUES ('shop', '" + bad.url() + "')");
    service.sql("INSERT INTO messaging.endpoints (name, url, event_types) VALUES ('ops', '" + operators.url() +
                "', '{messaging.*}')");
    service.sql("INSERT INTO messages (recipient, content, endpoint_id) VALUES ('a', 'first', 2)");
    const auto state = [&] { return service.sql("SELECT state FROM messaging._endpoint_state WHERE endpoint_id = 2"); };
    ASSERT_TRUE(wait_until([&] { return state() == "failing"; }, std::chrono::seconds(30)));
    EXPECT_EQ(service.sql("SELECT reason FROM messaging._endpoint_state WHERE endpoint_id = 2"),
              "nothing but failures: the receiver answered HTTP 500");
    ASSERT_TRUE(wait_until([&] { return operators.recent().find("messaging.endpoint.failing") != std::string::npos; }));
    service.sql("INSERT INTO messages (recipient, content, endpoint_id) SELECT 'a', 'm' || g, 2 FROM generate_series(1, 500) g");
    service.sql("INSERT INTO messages (recipient, content) VALUES ('b', 'always')");
    ASSERT_TRUE(received(good, 1));
    service.sql("UPDATE messaging.endpoints SET url = '" + good.url() + "' WHERE name = 'shop'");
    ASSERT_TRUE(received(good, 502)) << service.output();
    ASSERT_TRUE(wait_until([&] { return operators.recent().find("messaging.endpoint.recovered") != std::string::npos; }));
    EXPECT_TRUE(wait_until([&] { return state() == "active"; }));
    EXPECT_TRUE(wait_until([&] { return service.sql("SELECT count(*) FROM messages WHERE NOT is_sent") == "0"; }));
    EXPECT_LE(std::stoi(service.sql("SELECT count(*) FROM messaging._attempt WHERE message_id > 1")), 3)
        << "tries, one at a time";
}

TEST(Delivery, AReceiverThatAnswers410IsDisabledAndOneThatAsksForAPauseGetsIt) {
    const Receiver good;
    const Receiver gone({"--status", "410"});
    const Receiver busy({"--status", "429", "--retry-after", "4"});
    Service service(to(good));
    service.sql("INSERT INTO messaging.endpoints (name, url) VALUES ('gone', '" + gone.url() + "'), ('busy', '" + busy.url() +
                "')");
    service.sql("INSERT INTO messages (recipient, content, endpoint_id) VALUES ('a', 'b', 2), ('a', 'b', 3)");
    ASSERT_TRUE(wait_until(
        [&] { return service.sql("SELECT state FROM messaging._endpoint_state WHERE endpoint_id = 2") == "disabled"; }));
    EXPECT_EQ(service.sql("SELECT reason FROM messaging._endpoint_state WHERE endpoint_id = 2"),
              "the receiver answered HTTP 410");
    ASSERT_TRUE(wait_until([&] { return busy.stat("received") + busy.stat("refused") > 0; }));
    service.sql("INSERT INTO messages (recipient, content, endpoint_id) SELECT 'a', 'b', 3 FROM generate_series(1, 50)");
    service.sql("INSERT INTO messages (recipient, content) VALUES ('b', 'always')");
    ASSERT_TRUE(received(good, 1));
    EXPECT_TRUE(wait_until([&] { return service.sql("SELECT count(*) FROM messaging._hold WHERE endpoint_id = 3") == "50"; }));
    EXPECT_EQ(service.sql("SELECT count(*) FROM messages WHERE attempts > 0 AND endpoint_id = 3"), "1")
        << "none within the pause";
    ASSERT_TRUE(wait_until([&] {
        return service.sql("SELECT count(*) > 1 FROM messages WHERE attempts > 0 AND endpoint_id = 3") == "t";
    })) << "and on afterwards";
}

TEST(Delivery, ThreeInstancesKeepOneRateLimitTogether) {
    const Receiver other;
    const Receiver shop;
    Service first(to(other));
    Service second(to(other), first.database_url());
    Service third(to(other), first.database_url());
    first.sql("INSERT INTO messaging.endpoints (name, url, rate_limit) VALUES ('shop', '" + shop.url() + "', 100)");
    first.sql("INSERT INTO messages (recipient, content, endpoint_id) SELECT 'a', 'b', 2 FROM generate_series(1, 2000) g");
    ASSERT_TRUE(received(shop, 150));
    constexpr long kCounted = 1000;  // takes ten seconds
    const auto began = std::chrono::steady_clock::now();
    const long before = shop.stat("received");
    ASSERT_TRUE(received(shop, before + kCounted));
    first.sql("INSERT INTO messages (recipient, content) VALUES ('b', 'always')");
    const double counted = static_cast<double>(shop.stat("received") - before);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    EXPECT_NEAR(counted / seconds, 100, 5);
    EXPECT_TRUE(received(other, 1)) << "what waits for it delays nobody";
    EXPECT_EQ(shop.stat("duplicates"), 0);
}

// The two processes ended each other's states about every two seconds, and each time attempts failed.
TEST(Delivery, AnEngineThatAloneCannotReachAReceiverDoesNotKeepChangingItsState) {
    const Receiver other;
    const Receiver shop;
    const Environment breaker{
        {"BREAKER_FAILURES", "3"}, {"BACKOFF_BASE", "100ms"}, {"BACKOFF_CAP", "1s"}, {"MAX_ATTEMPTS", "100"}};
    Service reaches(to(other, breaker));
    Environment not_loopback = to(other, breaker);
    not_loopback["ALLOWED_NETWORKS"] = "";
    Service does_not(not_loopback, reaches.database_url());
    reaches.sql("INSERT INTO messaging.endpoints (name, url) VALUES ('shop', '" + shop.url() + "')");
    reaches.sql("INSERT INTO messaging.endpoints (name, url, event_types) VALUES ('ops', '" + shop.url() + "', '{messaging.*}')");
    reaches.sql("SELECT messaging.disable('ops')");  // the events are to be counted, not sent
    const auto insert = [&] {
        reaches.sql("INSERT INTO messages (recipient, content, endpoint_id) SELECT 'a', 'b', 2 FROM generate_series(1, 5)");
    };
    const auto told = [&] {
        return reaches.sql("SELECT count(*) FROM messaging.events WHERE type = 'messaging.endpoint.failing'");
    };
    const auto tries = [&] { return does_not.metric("messaging_attempts_total{status_class=\"none\"}"); };
    ASSERT_TRUE(wait_until([&] {
        insert();
        return told() == "1";
    }));
    const double before = tries();
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (std::chrono::steady_clock::now() < until) insert();
    EXPECT_LE(tries() - before, 5);
    EXPECT_EQ(told(), "1");
    EXPECT_TRUE(
        wait_until([&] { return reaches.sql("SELECT count(*) FROM messages WHERE endpoint_id = 2 AND NOT is_sent") == "0"; }));
}

TEST(Delivery, TermSignalLetsInFlightFinishAndExitsZero) {
    const Receiver receiver({"--delay", "300ms"});
    Service service(to(receiver));
    service.sql("INSERT INTO messages (recipient, content) SELECT 'a', 'b' FROM generate_series(1, 200)");
    ASSERT_TRUE(wait_until([&] { return receiver.stat("in_flight") > 0; }));
    service.send(SIGTERM);
    EXPECT_EQ(service.wait(), 0) << service.output();
    EXPECT_EQ(service.sql("SELECT count(*) FROM messages WHERE is_sent"), std::to_string(receiver.stat("received")));
    EXPECT_EQ(service.sql("SELECT (SELECT count(*) FROM messaging._queue) + (SELECT count(*) FROM messages WHERE is_sent)"),
              "200");
    EXPECT_EQ(service.sql("SELECT count(*) FROM messaging._claim"), "0");
}

TEST(Delivery, KilledEnginesMessagesAreSentByAnother) {
    const Receiver slow({"--delay", "60s"});
    Service first(to(slow));
    first.sql("INSERT INTO messages (recipient, content) SELECT 'a', 'b' FROM generate_series(1, 100)");
    ASSERT_TRUE(wait_until([&] { return slow.stat("in_flight") > 0; }));
    first.send(SIGKILL);
    first.wait();
    const Receiver good;
    Service second(to(good), first.database_url());
    EXPECT_TRUE(received(good, 100));
    EXPECT_TRUE(wait_until([&] { return second.sql("SELECT count(*) FROM messages WHERE is_sent") == "100"; }));
    EXPECT_EQ(good.stat("duplicates"), 0);
}

}  // namespace
}  // namespace messaging::test
