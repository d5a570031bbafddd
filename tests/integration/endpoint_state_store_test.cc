// What engines find of endpoints, as states and as events, against a real PostgreSQL.
#include "repository/endpoint_state_store.h"

#include <gtest/gtest.h>

#include "pg/run_statement.h"
#include "support/one_engine.h"
#include "support/private_postgres.h"
#include "support/stores.h"

namespace messaging::repository {
namespace {

using engine::EndpointFinding;
using engine::Finding;
using test::OneEngine;
using test::Stores;

class EndpointStateStoreTest : public testing::Test {
protected:
    EndpointStateStoreTest() {
        db_.sql("INSERT INTO messaging.endpoints (name, url, tenant) VALUES ('shop', 'http://shop/', 'acme')");
        db_.sql("INSERT INTO messaging.endpoints (name, url, event_types) VALUES ('ours', 'http://ours/', '{messaging.*}')");
    }
    std::int64_t version_of(core::EndpointId id) {
        return db_.number("SELECT coalesce(max(version), 0) FROM messaging._endpoint_state WHERE endpoint_id = " +
                          std::to_string(id));
    }
    void write(std::vector<EndpointFinding> findings, bool may_disable = true) {
        for (EndpointFinding& finding : findings) {
            if (finding.version == 0) finding.version = version_of(finding.endpoint);
        }
        db_.value<core::Unit>([&](auto done) { store_.write_findings(findings, may_disable, std::move(done)); });
    }
    void find(Finding finding, const std::string& reason = "") { write({{2, finding, reason}}); }
    std::string state() {
        return db_.sql("SELECT state, coalesce(reason, '-') FROM messaging._endpoint_state WHERE endpoint_id = 2");
    }
    std::string events() {
        return db_.sql(
            "SELECT substr(v.type, 11), coalesce(v.data ->> 'endpoint', v.data ->> 'message_id'), v.data ->> 'reason', "
            "(SELECT count(*) FROM messages m WHERE m.event_id = v.id) FROM messaging.events v ORDER BY v.id");
    }

    Stores db_{test::fresh_database()};
    pg::Connection& session_ = db_.open_session(listen_session_settings());
    PgEndpointStateStore store_{session_, std::chrono::hours(2)};
    OneEngine engine_{db_};
};

TEST_F(EndpointStateStoreTest, AnEndpointFailsAndRecovers) {
    find(Finding::kFailing, "no route");
    EXPECT_EQ(state(), "failing|nothing but failures: no route");
    find(Finding::kRecovered);
    EXPECT_EQ(state(), "active|-");
    EXPECT_EQ(events(),
              "endpoint.failing|shop|nothing but failures: no route|1 endpoint.recovered|shop|nothing but failures: no route|1");
    EXPECT_EQ(db_.sql("SELECT tenant, data ->> 'tenant' FROM messaging.events WHERE id = 1"), "|acme")
        << "the operator's, about a customer";
    find(Finding::kRecovered);
    EXPECT_EQ(state(), "active|-");
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging.events"), 2) << "said once";
}

TEST_F(EndpointStateStoreTest, WhatWasHeldComesFirstAfterwards) {
    db_.sql("INSERT INTO messages (recipient, content, endpoint_id) VALUES ('a', 'b', 2)");
    find(Finding::kFailing, "x");
    const auto claimed = engine_.claim();
    ASSERT_EQ(claimed.size(), 1U);
    EXPECT_EQ(claimed[0].endpoint_id, 3) << "the event; the endpoint's own message is held";
    EXPECT_EQ(db_.sql("SELECT id, endpoint_id FROM messaging._hold WHERE endpoint_id = 2"), "1|2")
        << "written once, no attempt used";
    find(Finding::kRecovered);
    EXPECT_EQ(state(), "backlogged|what was kept for it is sent first");
}

TEST_F(EndpointStateStoreTest, TheSameFindingAgainChangesNothingButItsReason) {
    find(Finding::kFailing, "x");
    const std::string row = "SELECT xmin, since FROM messaging._endpoint_state WHERE endpoint_id = 2";
    const std::string before = db_.sql(row);
    find(Finding::kFailing, "x");
    EXPECT_EQ(db_.sql(row), before);
    find(Finding::kFailing, "y");
    EXPECT_EQ(state(), "failing|nothing but failures: y");
    EXPECT_EQ(db_.sql("SELECT since FROM messaging._endpoint_state WHERE endpoint_id = 2"), before.substr(before.find('|') + 1));
}

TEST_F(EndpointStateStoreTest, NothingButFailuresForLongEnoughDisablesIt) {
    find(Finding::kFailing, "x");
    db_.sql("UPDATE messaging._endpoint_state SET since = now() - interval '119 minutes' WHERE endpoint_id = 2");
    find(Finding::kFailing, "x");
    EXPECT_EQ(state(), "failing|nothing but failures: x");
    db_.sql("UPDATE messaging._endpoint_state SET since = now() - interval '120 minutes' WHERE endpoint_id = 2");
    write({{2, Finding::kFailing, "x"}}, false);
    EXPECT_EQ(state(), "failing|nothing but failures: x") << "nobody answers: the fault may be the service's own";
    find(Finding::kFailing, "x");
    EXPECT_EQ(state(), "disabled|nothing but failures: x");
    EXPECT_EQ(db_.sql("SELECT type FROM messaging.events ORDER BY id DESC LIMIT 1"), "messaging.endpoint.disabled");
    find(Finding::kRecovered);
    find(Finding::kFailing, "y");
    find(Finding::kGone, "z");
    EXPECT_EQ(state(), "disabled|nothing but failures: x") << "until somebody enables it";
    db_.sql("SELECT messaging.enable('shop')");
    EXPECT_EQ(state(), "active|-");
    PgEndpointStateStore never{session_, std::chrono::hours(0)};
    find(Finding::kFailing, "x");
    db_.sql("UPDATE messaging._endpoint_state SET since = now() - interval '9 years' WHERE endpoint_id = 2");
    const EndpointFinding failing{2, Finding::kFailing, "x", version_of(2)};
    db_.value<core::Unit>([&](auto done) { never.write_findings({failing}, true, std::move(done)); });
    EXPECT_EQ(state(), "failing|nothing but failures: x");
    db_.sql("SELECT messaging.enable('shop')");
    EXPECT_EQ(state(), "active|-") << "enabling has it tried at once";
}

TEST_F(EndpointStateStoreTest, AnEndpointThatIsGoneIsDisabled) {
    find(Finding::kGone, "the receiver answered HTTP 410");
    EXPECT_EQ(state(), "disabled|the receiver answered HTTP 410");
    EXPECT_EQ(events(), "endpoint.disabled|shop|the receiver answered HTTP 410|1");
}

// A 410 of the former URL came after the endpoint was given a new one, and disabled it.
TEST_F(EndpointStateStoreTest, WhatWasFoundOfTheEndpointBeforeAChangeIsDropped) {
    const std::int64_t before = version_of(2);
    db_.sql("UPDATE messaging.endpoints SET url = 'http://new/' WHERE id = 2");
    write({{2, Finding::kGone, "the receiver answered HTTP 410", before}});
    EXPECT_EQ(state(), "active|-");
    pg::Session other = test::connect_or_abort(db_.url());
    ASSERT_TRUE(other.execute_script("BEGIN; UPDATE messaging.endpoints SET url = 'http://newer/' WHERE id = 2"));
    find(Finding::kGone, "the receiver answered HTTP 410");
    ASSERT_TRUE(other.execute_script("COMMIT"));
    EXPECT_EQ(state(), "active|-") << "whoever changes it comes first";
}

TEST_F(EndpointStateStoreTest, TheEnginesAreToldOfAChangeAndOnlyOfThat) {
    pg::Connection& listener = db_.open_session(base_settings("engine"));
    static constexpr pg::Statement kListen{"listen", "LISTEN messaging_control"};
    db_.value<core::Unit>([&](auto done) { pg::run_statement<core::Unit>(listener, kListen, {}, std::move(done), pg::nothing); });
    find(Finding::kFailing, "x");
    find(Finding::kFailing, "x");
    find(Finding::kRecovered);
    find(Finding::kRecovered);
    db_.value<core::Unit>([&](auto done) { pg::run_statement<core::Unit>(listener, kListen, {}, std::move(done), pg::nothing); });
    EXPECT_EQ(db_.notified(), (std::vector<std::string>{kControlChannel, kControlChannel}));
}

TEST_F(EndpointStateStoreTest, ALockedEndpointDoesNotKeepTheOthersWaiting) {
    pg::Session other = test::connect_or_abort(db_.url());
    ASSERT_TRUE(other.execute_script("BEGIN; UPDATE messaging._endpoint_state SET reason = 'mine' WHERE endpoint_id = 2"));
    write({{2, Finding::kFailing, "x"}, {3, Finding::kFailing, "y"}, {99, Finding::kFailing, "z"}});
    EXPECT_EQ(db_.sql("SELECT endpoint_id, state FROM messaging._endpoint_state ORDER BY 1"), "1|active 2|active 3|failing");
    ASSERT_TRUE(other.execute_script("ROLLBACK"));
}

TEST_F(EndpointStateStoreTest, AMessageThatIsGivenUpIsAnEventAndThatOnesOwnMessageIsNot) {
    db_.sql("INSERT INTO messages (recipient, content, endpoint_id) VALUES ('a', 'b', 2), ('a', 'c', 99)");
    engine_.record(engine_.claim(), core::OutcomeKind::kDead);
    EXPECT_EQ(events(), "message.dead|2|no such endpoint: 99|1 message.dead|shop|HTTP 500|1");
    EXPECT_EQ(db_.sql("SELECT data ->> 'message_id', data ->> 'endpoint_id', data ->> 'webhook_id' = messaging.webhook_id(1) "
                      "FROM messaging.events WHERE data ->> 'message_id' = '1'"),
              "1|2|true");
    engine_.record(engine_.claim(), core::OutcomeKind::kDead);
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._dead"), 4);
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging.events"), 2) << "no loop";
}

TEST_F(EndpointStateStoreTest, WithoutASubscriberNothingIsStored) {
    db_.sql("UPDATE messaging.endpoints SET event_types = '{*}'");
    find(Finding::kFailing, "x");
    db_.sql("UPDATE messaging.endpoints SET event_types = '{messaging.*}' WHERE tenant = 'acme'");
    find(Finding::kRecovered);
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging.events"), 0)
        << "* does not stand for them, and customers do not get them";
}

TEST_F(EndpointStateStoreTest, ATriggerOfTheApplicationThatRefusesTheEventStopsNothing) {
    db_.sql("CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$");
    db_.sql("INSERT INTO messages (recipient, content, endpoint_id) VALUES ('a', 'b', 2)");
    db_.sql("CREATE TRIGGER refuse BEFORE INSERT ON messages EXECUTE FUNCTION public.refuse()");
    find(Finding::kFailing, "x");
    EXPECT_EQ(state(), "failing|nothing but failures: x");
    find(Finding::kRecovered);
    engine_.record(engine_.claim(), core::OutcomeKind::kDead);
    EXPECT_EQ(db_.sql("SELECT id, reason FROM messaging._dead"), "1|HTTP 500");
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging.events"), 0);
}

TEST_F(EndpointStateStoreTest, WhatAnOperatorDoesIsNoEvent) {
    db_.sql("INSERT INTO messages (recipient, content, endpoint_id) VALUES ('a', 'b', 2)");
    db_.sql("SELECT messaging.disable('shop', 'a pause')");
    db_.sql("SELECT messaging.enable('shop')");
    db_.sql("SELECT messaging.cancel(ARRAY[1])");
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging.events"), 0);
}

}  // namespace
}  // namespace messaging::repository
