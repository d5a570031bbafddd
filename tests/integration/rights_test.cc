// messaging.grant_to() gives what it says and no more, the service runs as a role that owns nothing, and PUBLIC may execute
// nothing.
#include "crypto/sealer.h"
#include "engine/claim_store.h"
#include "engine/doorbell_store.h"
#include "engine/instance_store.h"
#include "engine/receipt_backlog_store.h"
#include "engine/reconcile_store.h"
#include "engine/record_store.h"
#include "repository/control_store.h"
#include "repository/doorbell_store.h"
#include "repository/endpoint_store.h"
#include "repository/instance_store.h"
#include "repository/message_store.h"
#include "repository/receipt_backlog_store.h"
#include "repository/reconcile_store.h"
#include "repository/replay_rounds.h"
#include "repository/replay_store.h"
#include "repository/secret_store.h"
#include "schema/start_check.h"
#include "service/control_store.h"
#include "service/message_store.h"
#include "support/one_engine.h"
#include "support/places.h"
#include "support/private_postgres.h"
#include "support/stores.h"

namespace messaging::repository {
namespace {

using core::OutcomeKind;
using core::Unit;
using test::OneEngine;
using test::Stores;

constexpr const char* kDenied = "42501";

// What is granted to the role, one "verb on what" each, in order.
constexpr const char* kGranted = R"sql(SELECT a.privilege_type || ' ' || o.name AS granted
FROM (SELECT relacl AS acl, oid::regclass::text AS name FROM pg_class
      UNION ALL SELECT attacl, attrelid::regclass || '.' || attname FROM pg_attribute
      UNION ALL SELECT nspacl, 'schema ' || nspname FROM pg_namespace
      UNION ALL SELECT proacl, oid::regprocedure::text FROM pg_proc) o, aclexplode(o.acl) a
WHERE a.grantee = 'tester'::regrole ORDER BY 1)sql";

class Rights : public testing::Test {
protected:
    Rights() {
        db_.sql("DO $$ BEGIN IF to_regrole('tester') IS NULL THEN CREATE ROLE tester LOGIN; END IF; END $$");
        db_.sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC");  // as PostgreSQL 15 and later have it
    }
    void grant(const std::string& what) { db_.sql("DO $$ BEGIN PERFORM messaging.grant_to('tester', '" + what + "'); END $$"); }
    std::string url_of_tester() const {
        std::string url = db_.url();
        return url.replace(url.find("postgres@"), std::string("postgres").size(), "tester");
    }
    pg::Session tester() { return test::connect_or_abort(url_of_tester()); }
    static std::string sqlstate(pg::Session& session, const std::string& sql) {
        const auto result = session.execute_script(sql);
        return result ? "" : result.error().sqlstate;
    }
    core::Result<schema::StartFacts> check_start(Stores& db) {
        pg::Connection& session = db.open_session(api_session_settings());
        const auto files = schema::read_schema(test::migrations_dir());
        return db.answer<schema::StartFacts>([&](auto done) { schema::check_start(session, files.value(), std::move(done)); });
    }

    Stores db_{test::fresh_database()};
};

TEST_F(Rights, AWriterInsertsMessagesAndDoesNothingElse) {
    grant("writer");
    EXPECT_EQ(db_.sql(kGranted),
              "INSERT messages.content INSERT messages.endpoint_id INSERT messages.recipient INSERT messaging.events.data "
              "INSERT messaging.events.tenant INSERT messaging.events.type SELECT messages.id SELECT messaging.events.id "
              "USAGE schema messaging");
    pg::Session writer = tester();
    EXPECT_EQ(sqlstate(writer, "INSERT INTO messages (recipient, content, endpoint_id) VALUES ('a', 'b', 1), ('a', 'c', 1)"), "");
    EXPECT_EQ(sqlstate(writer, "INSERT INTO messages (recipient, content) VALUES ('a', 'b') RETURNING id"), "");
    EXPECT_EQ(sqlstate(writer, "INSERT INTO messaging.events (type, data) VALUES ('a.b', '{}') RETURNING id"), "");
    EXPECT_EQ(sqlstate(writer, "COPY messages (recipient, content) FROM STDIN WHERE false"), "") << "begins";
    pg::Session another = tester();
    for (const char* forbidden :
         {"SELECT content FROM messages", "UPDATE messages SET is_sent = false", "DELETE FROM messages", "TRUNCATE messages",
          "INSERT INTO messages (recipient, content, is_sent) VALUES ('a', 'b', true)",
          "INSERT INTO messages (recipient, content, attempts) VALUES ('a', 'b', 1)",
          "INSERT INTO messages (event_id, endpoint_id) VALUES (1, 1)", "SELECT data FROM messaging.events",
          "INSERT INTO messaging._queue (id) VALUES (1)", "SELECT * FROM messaging.misplaced()",
          "SELECT messaging.grant_to('tester', 'service')", "ALTER TABLE messages DISABLE TRIGGER ALL"}) {
        EXPECT_EQ(sqlstate(another, forbidden), kDenied) << forbidden;
    }
    EXPECT_EQ(db_.sql("SELECT id FROM messaging._queue ORDER BY id"), "1 2 3");
}

// A setting is everybody's to make, and no right.
TEST_F(Rights, AWriterWhoseSessionCallsItselfAnEnginesPublishesNoEventOfTheService) {
    grant("writer");
    db_.sql("INSERT INTO messaging.endpoints (name, url, event_types) VALUES ('pager', 'http://pager/', '{messaging.*}')");
    pg::Session writer = tester();
    EXPECT_EQ(sqlstate(writer, "SET messaging.session = 'engine'"), "");
    const std::string columns = "INSERT INTO messaging.events (type, data";
    EXPECT_EQ(sqlstate(writer, columns + ") VALUES ('messaging.endpoint.failing', '{}')"), "23514");
    EXPECT_EQ(sqlstate(writer, columns + ", by_service) VALUES ('messaging.endpoint.failing', '{}', true)"), kDenied);
    EXPECT_EQ(db_.number("SELECT count(*) FROM messages"), 0);
}

TEST_F(Rights, NorDoesSuchAnOperatorBypassTheTriggers) {
    grant("operator");
    db_.sql("INSERT INTO messaging.endpoints (name, url, event_types) VALUES ('pager', 'http://pager/', '{messaging.*}')");
    db_.sql("INSERT INTO messages (recipient, content, is_sent) VALUES ('a', 'b', true)");
    pg::Session person = tester();
    for (const char* statement :
         {"SET messaging.session = 'engine'", "SELECT messaging.retry(1)", "SELECT messaging.cancel('{1}')",
          "SELECT messaging.disable('default')", "SELECT messaging.enable('default')"}) {
        EXPECT_EQ(sqlstate(person, statement), "") << statement;
    }
    EXPECT_EQ(db_.sql("SELECT id FROM messaging.misplaced()"), "");
    EXPECT_EQ(db_.sql("SELECT id FROM messaging._dead"), "1");
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging.events"), 0) << "what an operator does is no news";
    EXPECT_EQ(sqlstate(person, "SELECT messaging.publish('messaging.endpoint.failing', '{}')"), "23514");
}

TEST_F(Rights, AReaderReadsEverythingAndChangesNothing) {
    grant("reader");
    EXPECT_EQ(
        db_.sql(std::string("SELECT granted FROM (") + kGranted + ") g WHERE granted NOT LIKE 'SELECT messaging.%'"),
        "EXECUTE messaging._duration_bounds() EXECUTE messaging._event_patterns(text) EXECUTE "
        "messaging._is_open(messages,integer,integer) EXECUTE "
        "messaging._percentile(bigint[],double precision) EXECUTE messaging._status(boolean,boolean,boolean,boolean,boolean) "
        "EXECUTE messaging.count_replay(text,text,timestamp with time zone,timestamp with time zone,text,text) "
        "EXECUTE messaging.message_id(text) EXECUTE messaging.misplaced() EXECUTE messaging.timeline(bigint) EXECUTE "
        "messaging.webhook_id(bigint) SELECT messages "
        "USAGE schema messaging");
    pg::Session reader = tester();
    db_.sql("INSERT INTO messages (recipient, content) VALUES ('a', 'b')");
    db_.sql("INSERT INTO messaging._endpoint_minute VALUES (1, now(), 1, 0, '{1}')");
    for (const char* view :
         {"message_status", "dead_letters", "pending", "sending", "scheduled", "held", "attempts", "engines", "queue_status",
          "endpoint_health", "throughput", "timeline(1)", "replays", "count_replay('default')"}) {
        EXPECT_EQ(sqlstate(reader, std::string("SELECT * FROM messaging.") + view), "") << view;
    }
    EXPECT_EQ(sqlstate(reader, "SELECT * FROM messages; SELECT * FROM messaging._queue; SELECT * FROM messaging.misplaced()"),
              "");
    for (const char* forbidden :
         {"INSERT INTO messages (recipient, content) VALUES ('a', 'b')", "UPDATE messages SET is_sent = false",
          "SELECT * FROM messaging._endpoint_secret", "SELECT secret_id FROM messaging._endpoint_secret",
          "DELETE FROM messaging._queue", "SELECT messaging._queue_lost('{}')", "SELECT messaging._reconcile_round(1)",
          "UPDATE messaging._state SET state = 'stopped'", "SELECT messaging.replay('default')",
          "SELECT messaging.cancel_replay(1)"}) {
        EXPECT_EQ(sqlstate(reader, forbidden), kDenied) << forbidden;
    }
}

TEST_F(Rights, AnOperatorRepairsAndSeesNoSecret) {
    grant("operator");
    pg::Session person = tester();
    for (const char* allowed :
         {"SELECT messaging.send('a', 'b')", "SELECT messaging.cancel('{1}')", "SELECT messaging.retry(1)",
          "SELECT messaging.stop()", "SELECT messaging.start()", "SELECT messaging.replay('default')",
          "SELECT messaging.cancel_replay(1)", "INSERT INTO messaging.endpoints (name, url) VALUES ('shop', 'http://shop.test/')",
          "UPDATE messaging.endpoints SET max_attempts = 3 WHERE name = 'shop'", "SELECT messaging.disable('shop')",
          "SELECT messaging.enable('shop')", "DELETE FROM messaging.endpoints WHERE name = 'shop'",
          "SELECT * FROM messaging.endpoint_health"}) {
        EXPECT_EQ(sqlstate(person, allowed), "") << allowed;
    }
    for (const char* forbidden :
         {"SELECT * FROM messaging._endpoint_secret", "UPDATE messages SET is_sent = true", "DELETE FROM messages",
          "DELETE FROM messaging._queue", "SELECT messaging._set_state('stopped')", "SELECT messaging._replay_round()",
          "UPDATE messaging._replay SET state = 'done'"}) {
        EXPECT_EQ(sqlstate(person, forbidden), kDenied) << forbidden;
    }
}

// A role can be both: what the one right leaves out is not taken from the other.
TEST_F(Rights, AServiceThatIsMadeAReaderToo) {
    grant("service");
    grant("reader");
    pg::Session both = tester();
    EXPECT_EQ(sqlstate(both, "SELECT secret FROM messaging._endpoint_secret"), "");
}

TEST_F(Rights, AnUnknownRightIsRefusedWithTheOnesThereAre) {
    pg::Session owner = test::connect_or_abort(db_.url());
    const auto refused = owner.execute_script("SELECT messaging.grant_to('tester', 'king')");
    ASSERT_FALSE(refused.ok());
    EXPECT_NE(refused.error().message.find("king"), std::string::npos);
    EXPECT_FALSE(owner.execute_script("SELECT messaging.grant_to('public', 'service')")) << "PUBLIC is everybody";
}

TEST_F(Rights, ServeNamesTheRightsThatItsRoleLacks) {
    const auto refused_with = [&](const std::string& words) {
        Stores as_tester(url_of_tester());
        const auto refused = check_start(as_tester);
        ASSERT_FALSE(refused.ok()) << words;
        EXPECT_EQ(refused.error().kind, core::ErrorKind::kConflict);
        EXPECT_NE(refused.error().message.find(words), std::string::npos) << refused.error().message;
        EXPECT_NE(refused.error().message.find("SELECT messaging.grant_to('tester', 'service')"), std::string::npos);
    };
    refused_with("USAGE ON SCHEMA messaging");
    grant("reader");
    refused_with("UPDATE ON public.messages");
    grant("service");
    db_.sql("CREATE TABLE messaging._new (id bigint)");
    refused_with("lacks DELETE ON messaging._new, INSERT ON messaging._new, SELECT ON messaging._new, UPDATE ON messaging._new:");
    db_.sql("DROP TABLE messaging._new");
    db_.sql("REVOKE EXECUTE ON FUNCTION messaging._queue_lost(bigint[]) FROM tester");
    refused_with("lacks EXECUTE ON FUNCTION messaging._queue_lost():");
}

TEST_F(Rights, TheServiceRunsAllOfItsStatementsAsARoleThatOwnsNothing) {
    grant("service");
    EXPECT_EQ(db_.sql(std::string("SELECT DISTINCT split_part(granted, ' ', 1) AS verb FROM (") + kGranted + ") g ORDER BY verb"),
              "DELETE EXECUTE INSERT SELECT UPDATE USAGE");
    Stores db(url_of_tester());
    EXPECT_TRUE(check_start(db).ok()) << check_start(db).error().message;

    PgInstanceStore instances(db.open_session(listen_session_settings()));
    const auto me = db.value<core::InstanceId>([&](auto done) { instances.register_instance("tester", "", std::move(done)); });
    db.value<bool>([&](auto done) { instances.heartbeat(me, 0, 1, std::move(done)); });
    EXPECT_TRUE(db.value<bool>([&](auto done) { instances.read_state(std::move(done)); }));
    db.value<std::vector<engine::LivenessSample>>(
        [&](auto done) { instances.check_instances(me, std::chrono::seconds(1), std::move(done)); });
    db.value<std::size_t>([&](auto done) { instances.end_sessions({12345}, std::move(done)); });
    db.value<std::vector<core::ClaimId>>([&](auto done) { instances.move_claims(me, {1}, std::move(done)); });

    PgMessageStore messages(db.open_session(api_session_settings()));
    const std::vector<service::NewMessage> three{{"a", "b"}, {"a", "c"}, {"a", "d"}};
    using Created = std::vector<service::CreatedMessage>;
    EXPECT_EQ(db.value<Created>([&](auto done) { messages.enqueue(three, std::move(done)); }).size(), 3U);
    const service::ResponseTemplate response{201, std::vector<std::string>(7, "-")};
    const auto stored = db.value<service::StoredResponse>([&](auto done) {
        messages.enqueue_once(three, {"scope", "key", "print"}, response, std::move(done));
    });
    EXPECT_EQ(stored.status, 201);
    EXPECT_EQ(db_.number("SELECT count(*) FROM messages"), 6);

    OneEngine engine(db, me);
    std::vector<core::Delivery> claimed = engine.claim(4);
    ASSERT_EQ(claimed.size(), 4U);
    const OutcomeKind kinds[] = {OutcomeKind::kDelivered, OutcomeKind::kDead, OutcomeKind::kRetry, OutcomeKind::kReleased};
    for (std::size_t i = 0; i < claimed.size(); ++i) engine.record({claimed[i]}, kinds[i]);
    EXPECT_EQ(engine.claim_due().size(), 1U);
    test::EngineStores& queue = engine.queue();
    db.value<std::vector<core::MessageId>>([&](auto done) { queue.find_unlocked({1, 2}, std::move(done)); });
    db.value<std::vector<core::Endpoint>>([&](auto done) { queue.load_endpoints(std::move(done)); });
    for (const auto source : {engine::Source::kReady, engine::Source::kDue}) {
        db.value<std::optional<core::MessageId>>([&](auto done) { queue.peek(source, {}, std::move(done)); });
        db.value<Unit>([&](auto done) { queue.dead_letter(source, 5, "unclaimable", std::move(done)); });
    }
    db.value<engine::OrphanCount>([&](auto done) { queue.reschedule_orphans(me, {}, {}, std::move(done)); });
    engine::RecordRequest rest;
    rest.instance_id = me;
    rest.confirmed_batches = {99};
    rest.suspects = {6};
    db.value<engine::RecordResult>([&](auto done) { queue.record(rest, std::move(done)); });

    db.value<service::MessageDetail>([&](auto done) { messages.retry({2}, std::move(done)); });
    db.value<service::MessageDetail>([&](auto done) { messages.cancel({2}, {}, std::move(done)); });
    const auto read = db.value<service::MessageDetail>([&](auto done) { messages.get({2}, std::move(done)); });
    db.value<service::MessageDetail>([&](auto done) { messages.get({2, read.first.webhook_id}, std::move(done)); });
    for (const auto status : service::kListStatuses) {
        for (const auto& recipient : {std::optional<std::string>(), std::optional<std::string>("a")}) {
            db.value<service::ListPage>([&](auto done) {
                messages.list({status, recipient, 10, std::nullopt, core::Microseconds(), core::Microseconds()}, std::move(done));
            });
            db.value<service::ListPage>(
                [&](auto done) { messages.list({.status = status, .recipient = recipient, .endpoint_id = 1}, std::move(done)); });
        }
    }

    PgControlStore control(db.open_session(api_session_settings()));
    PgEndpointStore endpoints(db.open_session(api_session_settings()));
    db.value<std::string>([&](auto done) { endpoints.set_default_endpoint("http://127.0.0.1/", 8, std::move(done)); });
    db.sql("UPDATE messaging.endpoints SET signing = 'v1'");
    const crypto::Sealer sealer({core::SecretText(std::string(crypto::kSealingKeyBytes, 'k'))});
    PgSecretStore secrets(db.open_session(api_session_settings()));
    using Secrets = service::EndpointSecrets;
    db.value<Secrets>([&](auto done) { secrets.read_secrets(1, std::move(done)); });
    db.value<Secrets>([&](auto done) { secrets.rotate(1, {}, service::kDefaultSecretOverlap, std::move(done)); });
    db.value<Secrets>([&](auto done) { secrets.rotate(1, {}, std::chrono::seconds(0), std::move(done)); });
    for (const auto& with : {crypto::Sealer(), sealer}) {
        PgEndpointStore store(db.open_session(claim_session_settings()), with);
        const auto endpoints_read =
            db.value<std::vector<core::Endpoint>>([&](auto done) { store.load_endpoints(std::move(done)); });
        EXPECT_EQ(endpoints_read.at(0).signers.size(), 1U);
        const auto one = db.value<core::Endpoint>([&](auto done) { store.load_endpoint({1, {}}, std::move(done)); });
        EXPECT_EQ(one.signers.size(), 1U);
    }
    db_.sql("DELETE FROM messaging._endpoint_secret");
    db.value<std::vector<core::Endpoint>>([&](auto done) { queue.load_endpoints(std::move(done)); });
    for (const bool running : {false, true}) {
        db.value<service::ServiceState>([&](auto done) { control.set_running(running, "tester", std::move(done)); });
    }
    db.value<service::StatusView>([&](auto done) { control.read_status(std::move(done)); });
    PgReceiptBacklogStore backlog(db.open_session(record_session_settings()));
    db.value<std::vector<engine::BacklogBatch>>([&](auto done) { backlog.read_backlog(me, {}, 10, std::move(done)); });
    db.value<std::size_t>([&](auto done) { backlog.reclaim_backlog(me, 10, std::move(done)); });
    db.value<Unit>([&](auto done) { backlog.move_backlog(me, me, {1}, std::move(done)); });
    PgDoorbellStore doorbell(db.open_session(listen_session_settings()));
    db.value<engine::SleepAnswer>([&](auto done) { doorbell.try_to_sleep(std::move(done)); });
    db.value<Unit>([&](auto done) { doorbell.wake_up(std::move(done)); });
    db.value<Unit>([&](auto done) { doorbell.wake_peers(std::move(done)); });
    PgReconcileStore reconcile(db.open_session(reconcile_session_settings()));
    db.value<engine::ReconcileRound>([&](auto done) { reconcile.reconcile(1000, std::move(done)); });
    PgReplayStore replays(db.open_session(api_session_settings()), db.open_session(api_session_settings()));
    const service::ReplayFilter filter{.status = "both", .endpoint = "default"};
    db.value<service::Count>([&](auto done) { replays.count(filter, std::move(done)); });
    db.value<service::ReplayView>([&](auto done) { replays.create(filter, "tester", std::move(done)); });
    db.value<service::ReplayPage>([&](auto done) { replays.list({}, std::move(done)); });
    PgReplayRounds rounds(db.open_session(reconcile_session_settings()));
    EXPECT_GT(db.value<engine::ReplayRound>([&](auto done) { rounds.run_round(std::move(done)); }).replayed, 0U);
    db.value<service::ReplayView>([&](auto done) { replays.cancel(1, std::move(done)); });
    db.value<engine::Reclaimed>([&](auto done) { instances.reclaim(me, {}, std::chrono::seconds(2), true, std::move(done)); });
    db.value<Unit>([&](auto done) { instances.unregister_instance(me, std::move(done)); });
    EXPECT_EQ(db.sql("SELECT id, places FROM messaging.misplaced()"), "");
}

TEST_F(Rights, PublicMayExecuteNothingAndReadNothing) {
    EXPECT_EQ(db_.sql("SELECT oid::regprocedure FROM pg_proc WHERE pronamespace = 'messaging'::regnamespace"
                      " AND has_function_privilege('public', oid, 'EXECUTE')"),
              "");
    EXPECT_EQ(db_.sql("SELECT relname FROM pg_class WHERE relnamespace = 'messaging'::regnamespace AND relkind IN ('r', 'S')"
                      " AND relacl::text LIKE '%{=%'"),
              "");
    EXPECT_EQ(
        db_.sql("SELECT has_schema_privilege('public', 'messaging', 'USAGE') OR has_schema_privilege('public', 'messaging', "
                "'CREATE')"),
        "false");
}

// CREATE TRIGGER asks for EXECUTE on the function: with PUBLIC's, anybody could have our functions run on a table of their own.
TEST_F(Rights, NobodyPutsOurTriggerFunctionsOnATableOfTheirOwn) {
    const std::string triggers[] = {
        "AFTER INSERT ON t REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION messaging._on_insert()",
        "BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION messaging._on_update('is_sent')",
        "AFTER DELETE ON t REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION messaging._on_delete()",
        "AFTER TRUNCATE ON t FOR EACH STATEMENT EXECUTE FUNCTION messaging._on_truncate()",
    };
    for (const bool with_usage : {false, true}) {
        if (with_usage) db_.sql("GRANT USAGE ON SCHEMA messaging TO tester");
        pg::Session session = tester();
        ASSERT_EQ(sqlstate(session, "CREATE TEMP TABLE t (id bigint, is_sent boolean)"), "");
        for (const std::string& trigger : triggers) {
            EXPECT_EQ(sqlstate(session, "CREATE TRIGGER x " + trigger), kDenied) << trigger << (with_usage ? ", with USAGE" : "");
        }
    }
}

// Who has the right, the owner among them, may make a mistake.
TEST_F(Rights, TheTriggerFunctionsServeTheMessagesOnly) {
    db_.sql("INSERT INTO messages (recipient, content) VALUES ('a', 'b')");
    db_.sql("CREATE TABLE t (id bigint, is_sent boolean)");
    db_.sql("INSERT INTO t VALUES (1, false)");
    pg::Session owner = test::connect_or_abort(db_.url());
    const std::pair<std::string, std::string> uses[] = {
        {"AFTER INSERT ON t REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION messaging._on_insert()",
         "INSERT INTO t VALUES (1, false)"},
        {"BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION messaging._on_update('is_sent')", "UPDATE t SET is_sent = false"},
        {"AFTER DELETE ON t REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION messaging._on_delete()",
         "DELETE FROM t"},
        {"AFTER TRUNCATE ON t FOR EACH STATEMENT EXECUTE FUNCTION messaging._on_truncate()", "TRUNCATE t"},
    };
    for (const auto& [trigger, statement] : uses) {
        ASSERT_EQ(sqlstate(owner, "CREATE TRIGGER x " + trigger), "");
        EXPECT_EQ(sqlstate(owner, statement), "P0001") << statement;
        ASSERT_EQ(sqlstate(owner, "DROP TRIGGER x ON t"), "");
    }
    EXPECT_EQ(db_.sql("SELECT id FROM messaging._queue"), "1");
}

TEST_F(Rights, RowLevelSecurityIsRefusedAtTheStartAndLosesNothing) {
    grant("service");
    db_.sql("INSERT INTO messages (recipient, content) VALUES ('a', 'b'), ('a', 'c')");
    db_.sql("ALTER TABLE messages ENABLE ROW LEVEL SECURITY");
    Stores as_tester(url_of_tester());
    const auto refused = check_start(as_tester);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().kind, core::ErrorKind::kConflict);
    EXPECT_NE(refused.error().message.find("row-level security"), std::string::npos) << refused.error().message;
    EXPECT_TRUE(check_start(db_).ok()) << "a superuser sees every row";
    OneEngine engine(as_tester);
    const auto claim = as_tester.answer<engine::ClaimBatch>([&](auto done) {
        engine.queue().claim_ready({11, 1, {}, 10, std::nullopt}, std::move(done));
    });
    EXPECT_FALSE(claim.ok()) << "enabled while the service runs: the claim fails instead of taking what it does not see";
    EXPECT_EQ(db_.sql("SELECT id FROM messaging._queue ORDER BY id"), "1 2");
    db_.sql("ALTER ROLE tester BYPASSRLS");
    Stores again(url_of_tester());
    EXPECT_TRUE(check_start(again).ok());
    db_.sql("ALTER ROLE tester NOBYPASSRLS");
}

}  // namespace
}  // namespace messaging::repository
