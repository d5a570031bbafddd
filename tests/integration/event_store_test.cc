// Events: who gets them, what is sent, and what is told of them, against a real PostgreSQL.
#include "repository/event_store.h"

#include <gtest/gtest.h>

#include "support/one_engine.h"
#include "support/private_postgres.h"
#include "support/stores.h"

namespace messaging::repository {
namespace {

using service::CreatedEvent;
using service::EventDetail;
using service::EventPage;
using service::EventQuery;
using service::NewEvent;
using test::OneEngine;
using test::Stores;

class EventStoreTest : public testing::Test {
protected:
    // Its id is the number of endpoints before it, plus 2.
    void add_endpoint(const std::string& name, const std::string& types, const std::string& tenant = "") {
        db_.sql("INSERT INTO messaging.endpoints (name, url, event_types, tenant) VALUES ('" + name + "', 'http://" + name +
                "/', '" + types + "', nullif('" + tenant + "', ''))");
    }
    std::vector<CreatedEvent> publish(const std::vector<NewEvent>& events) {
        return db_.value<std::vector<CreatedEvent>>([&](auto done) { store_.publish(events, std::move(done)); });
    }
    std::int64_t publish(const std::string& type, const std::string& tenant = "") {
        return publish({{type, "{}", tenant.empty() ? std::nullopt : std::optional(tenant)}}).front().message_count;
    }
    EventPage list(const EventQuery& query) {
        return db_.value<EventPage>([&](auto done) { store_.list(query, std::move(done)); });
    }
    std::string ids(const EventQuery& query) {
        std::string text;
        for (const auto& event : list(query).events) text += (text.empty() ? "" : " ") + std::to_string(event.id);
        return text;
    }
    // What SQL says to an event: empty when it is taken.
    std::string refusal(const std::string& type, const std::string& data = "{}", const std::string& tenant = "NULL") {
        pg::Session session = test::connect_or_abort(db_.url());
        const auto result = session.execute_script("INSERT INTO messaging.events (type, data, tenant) VALUES ('" + type + "', " +
                                                   (data.starts_with("repeat") ? data : "'" + data + "'") + ", " + tenant + ")");
        return result ? "" : result.error().message;
    }

    Stores db_{test::fresh_database()};
    PgEventStore store_{db_.open_session(api_session_settings()), db_.open_session(api_session_settings())};
    OneEngine engine_{db_};
};

// A claim that dead-letters a thousand messages publishes as many events.
TEST_F(EventStoreTest, ForTheServicesOwnEventsAClaimReadsNoEndpointThatDoesNotSubscribe) {
    db_.sql("INSERT INTO messaging.endpoints (name, url) SELECT 'e' || g, 'http://e/' FROM generate_series(1, 2000) g");
    add_endpoint("ours", "{messaging.*}");
    db_.sql("ANALYZE messaging.endpoints");
    pg::Session session = test::connect_or_abort(db_.url());
    for (const auto& [name, value] : claim_session_settings())
        ASSERT_TRUE(session.execute_script("SET " + name + " = '" + value + "'"));
    ASSERT_TRUE(session.execute_script("BEGIN; SELECT messaging._publish_own('messaging.message.dead', '{}')"));
    const auto read = session.execute("SELECT seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'endpoints'");
    ASSERT_TRUE(read);
    EXPECT_EQ(read->bigint(0, 0), 0);
    ASSERT_TRUE(session.execute_script("COMMIT"));
    EXPECT_EQ(db_.number("SELECT count(*) FROM messages"), 1);
}

TEST_F(EventStoreTest, WhoSubscribesGetsIt) {
    add_endpoint("exact", "{invoice.paid}");
    add_endpoint("below", "{invoice.*,order.*}");
    add_endpoint("all", "{*}");
    add_endpoint("none", "{}");
    add_endpoint("own", "{messaging.endpoint.*}");
    const auto got = [this](const std::string& type) {
        const auto id = publish({{type, "{}", {}}}).front().id;
        return db_.sql("SELECT e.name FROM messages m JOIN messaging.endpoints e ON e.id = m.endpoint_id WHERE m.event_id = " +
                       std::to_string(id) + " ORDER BY m.id");
    };
    EXPECT_EQ(got("invoice.paid"), "exact below all");
    EXPECT_EQ(got("invoice.paid.late"), "below all");
    EXPECT_EQ(got("invoice"), "all") << "invoice.* stands for what is below it";
    EXPECT_EQ(got("invoices.paid"), "all");
    EXPECT_EQ(got("order.a.b.c"), "below all");
    db_.sql("INSERT INTO messaging.events (type, data, by_service) VALUES ('messaging.endpoint.disabled', '{}', true)");
    EXPECT_EQ(
        db_.sql("SELECT e.name FROM messages m JOIN messaging.endpoints e ON e.id = m.endpoint_id ORDER BY m.id DESC LIMIT 1"),
        "own");
    EXPECT_EQ(db_.number("SELECT count(*) FROM messages WHERE event_id = 6"), 1) << "* does not stand for the service's own";
}

TEST_F(EventStoreTest, OnlyEndpointsOfItsTenantGetIt) {
    add_endpoint("acme", "{*}", "acme");
    add_endpoint("other", "{*}", "other");
    add_endpoint("nobodys", "{*}");
    EXPECT_EQ(publish("a", "acme"), 1);
    EXPECT_EQ(db_.sql("SELECT endpoint_id FROM messages"), "2");
    EXPECT_EQ(publish("a"), 1);
    EXPECT_EQ(db_.sql("SELECT endpoint_id FROM messages ORDER BY id DESC LIMIT 1"), "4");
    EXPECT_EQ(publish("a", "stranger"), 0) << "stored, with nobody to send it to";
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging.events"), 3);
}

TEST_F(EventStoreTest, TheBodyIsMadeOfTheEventAndItsDataByteForByte) {
    add_endpoint("shop", "{*}");
    const std::string data = R"({ "b":1.50,  "a":"\u00e9\n", "b":[ ] })";
    const auto created = publish({{"invoice.paid", data, {}}});
    const auto deliveries = engine_.claim();
    ASSERT_EQ(deliveries.size(), 1U);
    EXPECT_TRUE(deliveries[0].is_event);
    EXPECT_EQ(deliveries[0].recipient, "");
    EXPECT_EQ(deliveries[0].content,
              R"({"type":"invoice.paid","timestamp":")" + created[0].created_at + R"(","data":)" + data + "}");
    db_.sql("INSERT INTO messages (recipient, content) VALUES ('a', 'b')");
    EXPECT_FALSE(engine_.claim().at(0).is_event);
}

TEST_F(EventStoreTest, ItsMessagesLiveAsOthersDo) {
    add_endpoint("shop", "{*}");
    publish("a");
    engine_.record(engine_.claim(), core::OutcomeKind::kRetry);
    engine_.record(engine_.claim_due(), core::OutcomeKind::kDead);
    EXPECT_EQ(db_.sql("SELECT id, event_id, event_type, content FROM messaging.dead_letters"), "1|1|a|");
    EXPECT_EQ(db_.sql("SELECT result FROM messaging.retry(1)"), "queued");
    engine_.record(engine_.claim(), core::OutcomeKind::kDelivered);
    const auto detail = db_.value<EventDetail>([&](auto done) { store_.get(1, std::move(done)); });
    ASSERT_EQ(detail.messages.size(), 1U);
    EXPECT_EQ(detail.messages[0].status, core::MessageStatus::kSent);
    EXPECT_EQ(detail.messages[0].event_type, "a");
    EXPECT_EQ(detail.messages[0].recipient, std::nullopt);
    EXPECT_EQ(db_.sql("SELECT id FROM messaging.misplaced()"), "");
}

TEST_F(EventStoreTest, AMessageWhoseEventIsGoneIsDeadLetteredWithThatReason) {
    add_endpoint("shop", "{*}");
    publish("a");
    db_.sql("INSERT INTO messages (recipient, content) VALUES ('a', 'b')");
    db_.sql("DELETE FROM messaging.events");
    EXPECT_EQ(engine_.claim().size(), 1U) << "the others do not notice";
    EXPECT_EQ(db_.sql("SELECT reason FROM messaging.dead_letters"), "its event was deleted: 1");
}

TEST_F(EventStoreTest, AnEventOfARolledBackTransactionIsSentToNobody) {
    add_endpoint("shop", "{*}");
    db_.sql("BEGIN");
    db_.sql("INSERT INTO messaging.events (type, data) VALUES ('a', '1')");
    db_.sql("ROLLBACK");
    db_.sql("SELECT messaging.publish('b', '2')");
    EXPECT_EQ(engine_.claim().size(), 1U);
    EXPECT_EQ(db_.sql("SELECT v.type FROM messages m JOIN messaging.events v ON v.id = m.event_id"), "b");
}

TEST_F(EventStoreTest, ManyAreInsertedWithOneStatementAndAnsweredInTheirOrder) {
    add_endpoint("one", "{a}");
    add_endpoint("two", "{a,b}");
    std::vector<NewEvent> events;
    for (int i = 0; i < 300; ++i) events.push_back({i % 2 == 0 ? "a" : "b", std::to_string(i), {}});
    const auto created = publish(events);
    ASSERT_EQ(created.size(), 300U);
    for (std::size_t i = 0; i < created.size(); ++i) {
        EXPECT_EQ(created[i].message_count, i % 2 == 0 ? 2 : 1);
        EXPECT_EQ(db_.sql("SELECT data FROM messaging.events WHERE id = " + std::to_string(created[i].id)), std::to_string(i));
    }
    EXPECT_EQ(db_.number("SELECT count(DISTINCT xid) FROM messaging._queue"), 1);
}

TEST_F(EventStoreTest, NothingIsPublishedWhereATriggerDropsAnEvent) {
    db_.sql("CREATE FUNCTION drop_row() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'");
    db_.sql(
        "CREATE TRIGGER app BEFORE INSERT ON messaging.events FOR EACH ROW WHEN (NEW.type = 'dropped') EXECUTE FUNCTION "
        "drop_row()");
    for (const char* other : {"a", "dropped"}) {
        const std::vector<NewEvent> events = {{"dropped", "{}", {}}, {other, "{}", {}}};
        const auto result = db_.answer<std::vector<CreatedEvent>>([&](auto done) { store_.publish(events, std::move(done)); });
        ASSERT_FALSE(result.ok()) << other;
        EXPECT_EQ(result.error().kind, core::ErrorKind::kInternal);
        EXPECT_EQ(db_.number("SELECT count(*) FROM messaging.events"), 0) << other;
    }
}

TEST_F(EventStoreTest, WhatTheTableDoesNotTake) {
    EXPECT_EQ(refusal("a-1_B.c"), "");
    for (const std::string type : {"", ".", "a.", ".a", "a..b", "a b", "a*", "*", "a.*", "é", "a\n"}) {
        EXPECT_NE(refusal(type).find("events_type"), std::string::npos) << type;
    }
    EXPECT_EQ(refusal(std::string(128, 'a')), "");
    EXPECT_NE(refusal(std::string(129, 'a')).find("events_type"), std::string::npos);
    for (const char* own : {"messaging", "messaging.test"}) {
        EXPECT_NE(refusal(own).find("the service's own"), std::string::npos) << own;
    }
    EXPECT_EQ(refusal("messagings"), "");
    EXPECT_NE(refusal("a", "repeat(' ', 4096)::json").find("json"), std::string::npos);
    EXPECT_EQ(refusal("a", "repeat('1', 4096)::json"), "");
    EXPECT_NE(refusal("a", "repeat('1', 4097)::json").find("events_data_bytes"), std::string::npos);
    EXPECT_NE(refusal("a", "{}", "''").find("events_tenant_bytes"), std::string::npos);
}

TEST_F(EventStoreTest, WhatAnEndpointCannotSubscribeTo) {
    const auto says = [this](const std::string& types) {
        pg::Session session = test::connect_or_abort(db_.url());
        const auto result = session.execute_script(
            "INSERT INTO messaging.endpoints (name, url, event_types) VALUES ('n', 'http://n/', " + types + ")");
        return result ? "" : result.error().message;
    };
    for (const char* types :
         {"'{\"\"}'", "'{a.*.b}'", "'{**}'", "'{.*}'", "'{a*}'", "'{NULL}'", "'{a..b}'", "ARRAY[repeat('a', 129)]"}) {
        EXPECT_TRUE(says(types).starts_with("event_types must be names")) << types;
    }
    EXPECT_EQ(says("(SELECT array_agg('a' || g) FROM generate_series(1, 101) g)"), "event_types must not be more than 100");
    EXPECT_EQ(says("(SELECT array_agg('a' || g || '.*') FROM generate_series(1, 100) g)"), "");
}

TEST_F(EventStoreTest, ListsComeInPagesByTypeAndTenant) {
    for (int i = 0; i < 6; ++i) publish(i % 2 == 0 ? "a" : "b", i < 3 ? "acme" : "");
    EXPECT_EQ(ids({}), "6 5 4 3 2 1");
    EXPECT_EQ(ids({.type = "a"}), "5 3 1");
    EXPECT_EQ(ids({.tenant = "acme"}), "3 2 1");
    const auto page = list({.type = "a", .limit = 2});
    EXPECT_EQ(page.next, 3);
    EXPECT_EQ(ids({.type = "a", .limit = 2, .after = page.next}), "1");
    EXPECT_EQ(list({.limit = 6}).next, std::nullopt);
    EXPECT_EQ(list({.type = "c"}).next, std::nullopt);
}

TEST_F(EventStoreTest, ListsTakeASpanOfTimeAndMeetEveryEventInIt) {
    db_.sql(
        "INSERT INTO messaging.events (type, data, created_at) SELECT CASE WHEN g % 2 = 0 THEN 'a' ELSE 'b' END, '1',"
        " '2026-01-01T00:00:00Z'::timestamptz + g * interval '1 h' FROM generate_series(1, 100) g");
    db_.sql("DELETE FROM messaging.events WHERE id IN (50, 51)");
    const auto at = [](int hours) { return core::parse_rfc3339("2026-01-01T00:00:00Z").value() + std::chrono::hours(hours); };
    EXPECT_EQ(ids({.since = at(97)}), "100 99 98 97") << "created then or later";
    EXPECT_EQ(ids({.until = at(4)}), "3 2 1") << "created before";
    EXPECT_EQ(ids({.since = at(48), .until = at(53)}), "52 49 48");
    EXPECT_EQ(ids({.type = "a", .since = at(48), .until = at(53)}), "52 48");
    EXPECT_EQ(ids({.since = at(50), .until = at(50)}), "");
    EXPECT_EQ(ids({.since = at(101)}), "");
    EXPECT_EQ(ids({.until = at(1)}), "");
    const auto page = list({.limit = 2, .since = at(96), .until = at(100)});
    EXPECT_EQ(page.next, 98);
    EXPECT_EQ(ids({.limit = 2, .after = page.next, .since = at(96), .until = at(100)}), "97 96");
    // A transaction that was open for a while inserts with an older time than its neighbours have.
    db_.sql("UPDATE messaging.events SET created_at = created_at - interval '69 minutes' WHERE id = 20");
    EXPECT_EQ(ids({.since = at(18), .until = at(19)}), "20 18");
    db_.sql("INSERT INTO messaging.events (id, type, data) OVERRIDING SYSTEM VALUE VALUES (9223372036854775807, 'a', '1')");
    EXPECT_EQ(ids({.until = at(4)}), "3 2 1") << "a huge id is no problem";
    EXPECT_EQ(
        db_.number("SELECT count(*) FROM generate_series(1, 300) g WHERE messaging._last_event_before('2026-01-01T00:00:00Z'::"
                   "timestamptz + g * interval '20 min') <> coalesce((SELECT max(id) FROM messaging.events WHERE created_at <"
                   " '2026-01-01T00:00:00Z'::timestamptz + g * interval '20 min' AND id < 20), 0) AND g < 54"),
        0);
}

// Not the walk over all events: some of the last ones are in the span, and the others are old.
TEST_F(EventStoreTest, APageForASpanOfTimeReadsNoOtherEvents) {
    db_.sql(
        "INSERT INTO messaging.events (type, data, created_at) SELECT 'a', '1', '2026-01-01T00:00:00Z'::timestamptz + g * "
        "interval"
        " '1 min' FROM generate_series(1, " +
        std::to_string(3 * kMaxEventsScanned) + ") g");
    const auto page =
        list({.since = core::parse_rfc3339("2026-01-01T00:00:00Z"), .until = core::parse_rfc3339("2026-01-01T00:02:30Z")});
    EXPECT_EQ(page.events.size(), 2U) << "on the first page, although they are behind thousands of newer ones";
    EXPECT_EQ(page.next, std::nullopt);
}

TEST_F(EventStoreTest, APageForAFilterReadsABoundedNumberOfEvents) {
    db_.sql("INSERT INTO messaging.events (type, data) VALUES ('rare', '1')");
    db_.sql("INSERT INTO messaging.events (type, data) SELECT 'a', '1' FROM generate_series(1, " +
            std::to_string(kMaxEventsScanned) + ")");
    const auto page = list({.type = "rare"});
    EXPECT_EQ(page.events.size(), 0U);
    ASSERT_EQ(page.next, 2) << "it goes on behind what was read";
    EXPECT_EQ(ids({.type = "rare", .after = page.next}), "1");
}

TEST_F(EventStoreTest, TwoThousandSubscribersOfOneEvent) {
    db_.sql(
        "INSERT INTO messaging.endpoints (name, url, event_types) SELECT 'e' || g, 'http://e/', '{*}' FROM generate_series(1, "
        "2000) g");
    EXPECT_EQ(publish("a"), 2000);
    const auto detail = db_.value<EventDetail>([&](auto done) { store_.get(1, std::move(done)); });
    EXPECT_EQ(detail.event.message_count, 2000);
    EXPECT_EQ(detail.messages.size(), std::size_t{service::kMaxEventMessages});
}

}  // namespace
}  // namespace messaging::repository
