// Each finding of the doctor, provoked in a PostgreSQL of its own, and the advice tried where it is SQL.
#include "schema/doctor.h"

#include <cstdlib>
#include <map>
#include <thread>

#include "schema/migrator.h"
#include "support/one_engine.h"
#include "support/places.h"
#include "support/private_postgres.h"
#include "support/stores.h"
#include "support/two_phase.h"

namespace messaging::repository {
namespace {

using test::Stores;
using Findings = std::vector<schema::Finding>;

class Doctor : public testing::Test {
protected:
    static void SetUpTestSuite() { test::allow_prepared_transactions(); }

    // Of every check, by its name, in a session of its own.
    std::map<std::string, Findings> examine_all(const std::string& url = "") {
        std::map<std::string, Findings> all;
        pg::Session session = test::connect_or_abort(url.empty() ? db_.url() : url);
        schema::examine(session, schema::read_schema(test::migrations_dir()).value(), limits_,
                        [&all](const schema::CheckResult& result) { all[result.name] = result.findings; });
        return all;
    }
    // What the check has found, and nothing else.
    schema::Finding only(const std::string& check, const std::string& url = "") {
        const Findings findings = examine_all(url)[check];
        EXPECT_EQ(findings.size(), 1U) << check;
        return findings.empty() ? schema::Finding{} : findings[0];
    }
    void expect(const std::string& check, schema::FindingLevel level, const std::string& text, const std::string& advice = "") {
        const schema::Finding finding = only(check);
        EXPECT_EQ(finding.level, level) << finding.text;
        EXPECT_NE(finding.text.find(text), std::string::npos) << finding.text;
        EXPECT_NE(finding.advice.find(advice), std::string::npos) << finding.advice;
    }
    void expect_ok(const std::string& check) { EXPECT_EQ(only(check).level, schema::FindingLevel::kOk) << only(check).text; }
    // The advice is a statement: it puts things right.
    void follow_advice(const std::string& check) {
        pg::Session session = test::connect_or_abort(db_.url());
        const std::string advice = only(check).advice;
        const auto done = session.execute_script(advice);
        EXPECT_TRUE(done.ok()) << advice << ": " << (done ? "" : done.error().message);
        expect_ok(check);
    }
    void set_for_server(const std::string& name, const std::string& value) {
        db_.sql("ALTER SYSTEM SET " + name + " = '" + value + "'");
        reload_until(name, value);
    }
    void reset_for_server(const std::string& name) {
        const std::string value = db_.sql("SELECT boot_val FROM pg_settings WHERE name = '" + name + "'");
        db_.sql("ALTER SYSTEM RESET " + name);
        reload_until(name, value);
    }
    void reload_until(const std::string& name, const std::string& value) {
        db_.sql("SELECT pg_reload_conf()");
        EXPECT_TRUE(test::wait_until([&] { return db_.sql("SELECT current_setting('" + name + "')") == value; })) << name;
    }
    std::string url_of(const std::string& role) {
        db_.sql("DO $$ BEGIN IF to_regrole('" + role + "') IS NULL THEN CREATE ROLE " + role + " LOGIN; END IF; END $$");
        std::string url = db_.url();
        return url.replace(url.find("postgres@"), std::string("postgres").size(), role);
    }
    void insert(int count) {
        db_.sql("INSERT INTO messages (recipient, content) SELECT 'a', 'b' FROM generate_series(1, " + std::to_string(count) +
                ")");
    }

    Stores db_{test::fresh_database()};
    schema::DoctorLimits limits_ = [] {
        schema::DoctorLimits limits;
        limits.second_look = std::chrono::milliseconds(0);
        return limits;
    }();
};

TEST_F(Doctor, FindsNothingInAHealthyDatabase) {
    insert(10);
    test::OneEngine(db_).claim(3);
    db_.sql("INSERT INTO messaging._instance (name) VALUES ('running')");
    for (const auto& [check, findings] : examine_all()) {
        for (const schema::Finding& finding : findings) {
            // The tests' server does not sync to the disk.
            EXPECT_EQ(finding.level, check == "durability" ? schema::FindingLevel::kWarning : schema::FindingLevel::kOk)
                << finding.text;
            EXPECT_FALSE(finding.text.empty()) << check;
        }
    }
    EXPECT_EQ(examine_all().size(), 19U);
}

TEST_F(Doctor, ChangesNothing) {
    db_.sql("ALTER DATABASE " + db_.sql("SELECT current_database()") + " SET default_transaction_read_only = on");
    const auto all = examine_all();
    EXPECT_EQ(all.size(), 19U) << "all checks";
    for (const auto& [check, findings] : all) {
        for (const schema::Finding& finding : findings)
            EXPECT_EQ(finding.text.find("cannot be checked"), std::string::npos) << finding.text;
    }
    expect("server", schema::FindingLevel::kError, "default_transaction_read_only");
}

TEST_F(Doctor, TheSchema) {
    Stores empty(test::empty_database());
    EXPECT_EQ(only("schema", empty.url()).text, "the schema is not there");
    EXPECT_EQ(examine_all(empty.url()).count("triggers"), 0U) << "what needs the schema is not tried";
    empty.sql("CREATE TABLE schema_migrations (version integer)");
    empty.sql("CREATE TABLE message_queue (id bigint)");
    EXPECT_NE(only("schema", empty.url()).text.find("before the first release"), std::string::npos);
    db_.sql("UPDATE messaging._function_file SET checksum = 'another'");
    expect("schema", schema::FindingLevel::kError, "the functions are those of another version", "messaging migrate up");
    db_.sql("UPDATE messaging._migration SET checksum = 'another' WHERE version = 2");
    expect("schema", schema::FindingLevel::kError, "0002_engine.up.sql was edited");
    db_.sql("DELETE FROM messaging._migration WHERE version > 1");
    expect("schema", schema::FindingLevel::kError, "pending, from 0002_engine on", "messaging migrate up");
}

TEST_F(Doctor, TheServer) {
    test::PrivatePostgres& server = test::shared_postgres();
    server.run_sql("CREATE DATABASE ascii TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'");
    EXPECT_NE(only("server", server.url("ascii")).text.find("SQL_ASCII"), std::string::npos);
    const Findings durability = examine_all()["durability"];
    ASSERT_EQ(durability.size(), 2U) << "the tests' server has neither fsync nor full_page_writes";
    EXPECT_EQ(durability[0].level, schema::FindingLevel::kWarning);
    EXPECT_NE(durability[0].text.find("fsync is off"), std::string::npos) << durability[0].text;
    db_.sql("ALTER DATABASE " + db_.sql("SELECT current_database()") + " SET synchronous_commit = off");
    EXPECT_EQ(examine_all()["durability"].size(), 3U) << "and synchronous_commit";
}

TEST_F(Doctor, TheRightsOfTheRole) {
    const std::string url = url_of("patient");
    auto all = examine_all(url);
    EXPECT_EQ(all["rights"][0].level, schema::FindingLevel::kError);
    EXPECT_NE(all["rights"][0].text.find("lacks"), std::string::npos) << all["rights"][0].text;
    EXPECT_EQ(all["schema"][0].level, schema::FindingLevel::kError) << "cannot be read";
    db_.sql("DO $$ BEGIN PERFORM messaging.grant_to('patient', 'service'); END $$");
    all = examine_all(url);
    for (const auto& [check, findings] : all) {
        for (const schema::Finding& finding : findings)
            EXPECT_NE(finding.level, schema::FindingLevel::kError) << check << ": " << finding.text;
    }
    EXPECT_NE(all["transactions"][0].text.find("does not see"), std::string::npos)
        << "a warning, because the check sees too little";
    db_.sql("GRANT pg_read_all_stats TO patient");
    EXPECT_EQ(only("transactions", url).level, schema::FindingLevel::kOk);
    db_.sql("ALTER TABLE messages ENABLE ROW LEVEL SECURITY");
    EXPECT_NE(only("row security", url).text.find("hides rows of public.messages"), std::string::npos)
        << only("row security", url).text;
    EXPECT_EQ(only("messages", url).level, schema::FindingLevel::kError) << "with hidden rows it would be wrong";
    expect_ok("row security");
}

TEST_F(Doctor, TheRightsOfEverybody) {
    db_.sql("GRANT EXECUTE ON FUNCTION messaging._on_insert() TO PUBLIC");
    expect("public rights", schema::FindingLevel::kError, "every role may execute messaging._on_insert()");
    follow_advice("public rights");
    db_.sql("GRANT INSERT ON messaging._queue TO PUBLIC");
    expect("public rights", schema::FindingLevel::kError, "every role has INSERT on messaging._queue");
    follow_advice("public rights");
}

TEST_F(Doctor, Triggers) {
    EXPECT_EQ(db_.sql("SELECT tgrelid::regclass || '.' || tgname FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1"),
              "messages.messaging_delete messages.messaging_insert messages.messaging_insert_sent messages.messaging_truncate "
              "messages.zz_messaging_1_keep messages.zz_messaging_2_send_again messaging._dead.message_dead "
              "messaging._endpoint_secret.endpoint_secret_changed "
              "messaging._endpoint_state.endpoint_found messaging._endpoint_state.endpoint_state_changed "
              "messaging._state.state_changed "
              "messaging.endpoints.endpoints_changed messaging.endpoints.endpoints_check messaging.endpoints.endpoints_keep_id "
              "messaging.endpoints.endpoints_state "
              "messaging.endpoints.endpoints_truncated messaging.events.messaging_event")
        << "a new trigger is one more to check";
    pg::Session owner = test::connect_or_abort(db_.url());
    const auto triggers = owner.execute("SELECT tgrelid::regclass::text, tgname FROM pg_trigger WHERE NOT tgisinternal");
    ASSERT_TRUE(triggers.ok());
    for (int row = 0; row < triggers->size(); ++row) {
        const std::string table(triggers->text(row, 0));
        const std::string name(triggers->text(row, 1));
        db_.sql("ALTER TABLE " + table + " DISABLE TRIGGER " + name);
        expect("triggers", schema::FindingLevel::kError, "the trigger " + name + " on ");
        follow_advice("triggers");
    }
    db_.sql("ALTER TABLE messages ENABLE REPLICA TRIGGER messaging_delete");
    expect("triggers", schema::FindingLevel::kError, "messaging_delete on public.messages is disabled");
    follow_advice("triggers");
    db_.sql("ALTER TABLE messages ENABLE ALWAYS TRIGGER messaging_insert");
    expect_ok("triggers");
    db_.sql("ALTER TABLE messaging.events DISABLE TRIGGER messaging_event");
    expect("triggers", schema::FindingLevel::kError, "messaging_event on messaging.events is disabled");
    follow_advice("triggers");
    db_.sql("CREATE TABLE audit (id bigint)");
    db_.sql(
        "CREATE FUNCTION theirs() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO audit VALUES (NEW.id); RETURN NEW; "
        "END'");
    db_.sql("CREATE TRIGGER theirs AFTER UPDATE ON messages FOR EACH ROW EXECUTE FUNCTION theirs()");
    expect("triggers", schema::FindingLevel::kWarning,
           "the trigger theirs calls public.theirs(), which relies on the search_path");
    follow_advice("triggers");
    // As `pg_restore --disable-triggers` leaves it.
    db_.sql("ALTER TABLE messaging.endpoints ENABLE TRIGGER endpoints_state");
    expect("triggers", schema::FindingLevel::kError,
           "endpoints_state on messaging.endpoints is not fired by rows that replication");
    follow_advice("triggers");
    db_.sql("DROP TRIGGER endpoints_state ON messaging.endpoints");
    expect("triggers", schema::FindingLevel::kError, "endpoints_state on messaging.endpoints is missing", "messaging migrate up");
    db_.sql(
        "CREATE TRIGGER endpoints_state AFTER INSERT ON messaging.endpoints FOR EACH ROW EXECUTE FUNCTION "
        "messaging._on_endpoint_change()");
    expect("triggers", schema::FindingLevel::kError, "endpoints_state on messaging.endpoints is not the one of this version");
    db_.sql("DELETE FROM messaging._function_file");
    pg::Session session = test::connect_or_abort(db_.url());
    ASSERT_TRUE(schema::Migrator(session, schema::read_schema(test::migrations_dir()).value()).up().ok());
    expect_ok("triggers");
    db_.sql("CREATE FUNCTION later() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS 'BEGIN RETURN NEW; END'");
    db_.sql("CREATE TRIGGER zzz BEFORE UPDATE ON messages FOR EACH ROW EXECUTE FUNCTION later()");
    expect("triggers", schema::FindingLevel::kWarning, "the trigger zzz fires after ours");
    db_.sql("ALTER TRIGGER zzz ON messages RENAME TO aaa");
    expect_ok("triggers");
    db_.sql("CREATE ROLE replicator");
    db_.sql("ALTER ROLE replicator SET session_replication_role = replica");
    expect("triggers", schema::FindingLevel::kError, "session_replication_role = replica is set for the role replicator");
    db_.sql("DROP ROLE replicator");
    db_.sql("CREATE SUBSCRIPTION s CONNECTION 'dbname=nowhere' PUBLICATION p WITH (connect = false)");
    db_.sql(
        "INSERT INTO pg_subscription_rel (srsubid, srrelid, srsubstate) SELECT oid, 'messages'::regclass, 'r' FROM "
        "pg_subscription");
    expect("triggers", schema::FindingLevel::kWarning, "a subscription writes to messages");
    db_.sql("UPDATE pg_subscription_rel SET srrelid = 'messaging.events'::regclass");
    expect("triggers", schema::FindingLevel::kError, "these events are sent to nobody");
    follow_advice("triggers");
    db_.sql("ALTER SUBSCRIPTION s SET (slot_name = NONE)");
    db_.sql("DROP SUBSCRIPTION s");
}

TEST_F(Doctor, MessagesInNoPlaceOrInTwoOrSentAndStillWaiting) {
    insert(15);
    db_.sql("DELETE FROM messaging._queue WHERE id <= 12");
    expect("messages", schema::FindingLevel::kError, "12 message(s) are unsent and in no place: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, …",
           "reconcile");
    db_.sql("INSERT INTO messaging._schedule SELECT id, now() FROM messages WHERE id <= 13");
    expect("messages", schema::FindingLevel::kWarning, "1 message(s) are in queue and schedule: 13");
    db_.sql("DELETE FROM messaging._schedule WHERE id = 13");
    pg::Session replica = test::connect_or_abort(db_.url());
    ASSERT_TRUE(
        replica.execute_script("SET session_replication_role = replica; UPDATE messages SET is_sent = true WHERE id = 1"));
    expect("messages", schema::FindingLevel::kWarning, "1 message(s) are sent, and still in schedule: 1",
           "leave at their next claim");
    db_.sql("DELETE FROM messaging._schedule WHERE id = 1");
    db_.sql("INSERT INTO messaging._dead (id, reason) VALUES (1, 'x')");
    expect("messages", schema::FindingLevel::kWarning, "1 message(s) are sent, and still in dead: 1");
    follow_advice("messages");
}

TEST_F(Doctor, AMessageOnItsWayIsNoFinding) {
    insert(2);
    db_.sql("DELETE FROM messaging._queue");
    limits_.second_look = std::chrono::seconds(3);
    std::thread moving([&] {
        pg::Session other = test::connect_or_abort(db_.url());
        EXPECT_TRUE(test::wait_until([&] {
            return other
                       .execute(
                           "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%messaging.misplaced()%' AND state = 'idle'"
                           " AND datname = current_database()")
                       ->size() == 1;
        }));
        EXPECT_TRUE(other.execute_script("INSERT INTO messaging._queue (id) VALUES (2)"));
    });
    expect("messages", schema::FindingLevel::kError, "1 message(s) are unsent and in no place: 1");
    moving.join();
}

TEST_F(Doctor, SaysWhatItCouldNotCheck) {
    db_.sql(
        "CREATE OR REPLACE FUNCTION messaging.misplaced() RETURNS TABLE (id bigint, is_sent boolean, places text[]) LANGUAGE sql "
        "AS"
        " 'SELECT 1, true, ''{}''::text[] FROM pg_sleep(10)'");
    limits_.patience = std::chrono::milliseconds(1000);
    expect("messages", schema::FindingLevel::kWarning, "reading all messages takes more than 1 s",
           "SELECT * FROM messaging.misplaced()");
    pg::Session other = test::connect_or_abort(db_.url());
    ASSERT_TRUE(other.execute_script("BEGIN; LOCK TABLE messaging._endpoint_state"));
    expect("endpoints", schema::FindingLevel::kError, "cannot be checked: canceling statement due to");
}

TEST_F(Doctor, Endpoints) {
    db_.sql("INSERT INTO messaging.endpoints (name, url) VALUES ('second', 'http://127.0.0.1/')");
    db_.sql("DELETE FROM messaging._endpoint_state WHERE endpoint_id = 2");
    expect("endpoints", schema::FindingLevel::kError, "endpoint 2 (second) has no state");
    follow_advice("endpoints");
    db_.sql("INSERT INTO messaging._endpoint_state (endpoint_id) VALUES (77)");
    expect("endpoints", schema::FindingLevel::kError, "a state of endpoint 77, which does not exist");
    follow_advice("endpoints");
    db_.sql("UPDATE messaging.endpoints SET name = 'renamed' WHERE id = 1");
    expect("endpoints", schema::FindingLevel::kWarning, "no endpoint is named default");
    follow_advice("endpoints");
    db_.sql("INSERT INTO messages (recipient, content, endpoint_id) VALUES ('a', 'b', 77), ('a', 'b', 77)");
    expect("endpoints", schema::FindingLevel::kWarning, "2 unsent message(s) are for endpoint 77, which does not exist");
    test::OneEngine(db_).claim();
    expect("endpoints", schema::FindingLevel::kWarning, "2 message(s) were dead-lettered because their endpoint did not exist");
    db_.sql("DELETE FROM messages");
    db_.sql(
        "INSERT INTO messaging._endpoint_secret (endpoint_id, kind, secret) "
        "VALUES (1, 'v1', 'sealed:x'), (2, 'v1', 'whsec_' || repeat('k', 32))");
    expect("endpoints", schema::FindingLevel::kWarning, "1 secret(s) of endpoints are stored unsealed, and 1 sealed");
    db_.sql("DELETE FROM messaging.endpoints WHERE id = 1");
    expect("endpoints", schema::FindingLevel::kError, "endpoint 1 does not exist");
}

TEST_F(Doctor, InstancesAndTheStateOfTheService) {
    insert(3);
    test::OneEngine(db_).claim(1);
    expect("instances", schema::FindingLevel::kWarning, "no instance is running: 2 message(s) and 1 claim(s) wait",
           "messaging serve");
    db_.sql("INSERT INTO messaging._instance (name) VALUES ('running'), ('gone')");
    expect_ok("instances");
    db_.sql("UPDATE messaging._instance SET last_seen = now() - interval '10 min' WHERE name = 'gone'");
    expect("instances", schema::FindingLevel::kWarning, "instance 2 (gone) was last seen 00:10:0");
    db_.sql("UPDATE messaging._instance SET last_seen = now() + interval '1 day' WHERE name = 'gone'");
    expect("instances", schema::FindingLevel::kWarning, "instance 2 (gone) was last seen 23:59:5");
    db_.sql("DELETE FROM messaging._instance WHERE name = 'gone'");
    db_.sql("UPDATE messaging._state SET state = 'stopped', by = 'somebody'");
    expect("instances", schema::FindingLevel::kWarning, "by somebody: nothing is sent", "POST /start");
}

TEST_F(Doctor, ReconcileThatDoesNotWork) {
    db_.sql("UPDATE messaging._reconcile SET next_tail = now() - interval '10 min'");
    expect("reconcile", schema::FindingLevel::kWarning, "reconcile has checked no message since");
    db_.sql(
        "UPDATE messaging._reconcile SET next_tail = now(), walked_to = 5, walk_began = now() - interval '2 d', walk_took = '1 "
        "h'");
    expect("reconcile", schema::FindingLevel::kWarning, "has been under way since");
    db_.sql("UPDATE messaging._reconcile SET walk_took = '1 d'");
    expect("reconcile", schema::FindingLevel::kOk, "the last walk over all messages took 1 day");
}

TEST_F(Doctor, TransactionsThatStayOpen) {
    limits_.long_transaction = std::chrono::seconds(0);
    pg::Session other = test::connect_or_abort(db_.url());
    expect_ok("transactions");
    ASSERT_TRUE(other.execute_script("BEGIN; SELECT count(*) FROM messages"));
    expect("transactions", schema::FindingLevel::kWarning, "(test, role postgres, idle in transaction)",
           "SELECT pg_terminate_backend(");
    limits_.stuck_transaction = std::chrono::seconds(0);
    expect("transactions", schema::FindingLevel::kError, "has been in one transaction for");
    ASSERT_TRUE(other.execute_script("COMMIT"));
    expect_ok("transactions");
    std::thread querying([&] { EXPECT_FALSE(other.execute_script("SELECT count(*), pg_sleep(60) FROM messages")); });
    const std::string active = "SELECT pid FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()";
    EXPECT_TRUE(test::wait_until([&] { return !db_.sql(active).empty(); }));
    expect("transactions", schema::FindingLevel::kError, "(test, role postgres, active)");
    db_.sql(only("transactions").advice);
    querying.join();
    EXPECT_TRUE(test::wait_until([&] { return only("transactions").level == schema::FindingLevel::kOk; }));
    Stores elsewhere(test::empty_database());
    pg::Session in_another_database = test::connect_or_abort(elsewhere.url());
    ASSERT_TRUE(in_another_database.execute_script("BEGIN; SELECT count(*) FROM pg_class"));
    expect_ok("transactions");
    set_for_server("track_activities", "off");
    expect("transactions", schema::FindingLevel::kWarning, "track_activities is off");
    reset_for_server("track_activities");
}

TEST_F(Doctor, PreparedTransactions) {
    limits_.long_transaction = std::chrono::seconds(0);
    db_.sql("DO $$ BEGIN END $$");
    pg::Session other = test::connect_or_abort(db_.url());
    ASSERT_TRUE(
        other.execute_script("BEGIN; INSERT INTO messages (recipient, content) VALUES ('a', 'b'); PREPARE TRANSACTION 'it''s'"));
    expect("prepared transactions", schema::FindingLevel::kWarning, "the prepared transaction 'it''s' of postgres",
           "COMMIT PREPARED 'it''s', or ROLLBACK PREPARED 'it''s'");
    limits_.stuck_transaction = std::chrono::seconds(0);
    expect("prepared transactions", schema::FindingLevel::kError, "has been open for");
    ASSERT_TRUE(other.execute_script("ROLLBACK PREPARED 'it''s'"));
    expect_ok("prepared transactions");
}

TEST_F(Doctor, ReplicationThatStandsStill) {
    db_.sql("SELECT pg_create_physical_replication_slot('left_behind', true)");
    expect_ok("replication");
    limits_.retained_wal_bytes = -1;
    expect("replication", schema::FindingLevel::kWarning, "nobody uses the replication slot left_behind, which keeps ");
    db_.sql("SELECT pg_drop_replication_slot('left_behind')");
    expect_ok("replication");
    set_for_server("synchronous_standby_names", "nobody");
    expect("replication", schema::FindingLevel::kError, "each commit waits for a synchronous standby");
    reset_for_server("synchronous_standby_names");
    expect_ok("replication");
}

TEST_F(Doctor, AStandbyAndTheSlotItLeavesBehind) {
    if (std::getenv("POSTGRES_BIN") != nullptr) GTEST_SKIP() << "pg_basebackup makes standbys of Debian's PostgreSQL only";
    test::PrivatePostgres& primary = test::shared_postgres();
    primary.run_sql("SELECT pg_create_physical_replication_slot('standby')");
    const auto standby = test::PrivatePostgres::standby_of(primary);
    standby->run_sql("ALTER SYSTEM SET primary_slot_name = 'standby'");
    standby->run_sql("ALTER SYSTEM SET hot_standby_feedback = on");
    standby->run_sql("ALTER SYSTEM SET wal_receiver_status_interval = 1");
    standby->restart();
    const std::string there = standby->url(db_.sql("SELECT current_database()"));
    EXPECT_NE(only("server", there).text.find("this server is a standby"), std::string::npos);
    EXPECT_TRUE(
        test::wait_until([&] { return db_.sql("SELECT xmin IS NOT NULL AND active FROM pg_replication_slots") == "true"; }));
    expect_ok("replication");
    for (const auto& [check, findings] : examine_all(there)) {
        for (const schema::Finding& finding : findings)
            EXPECT_EQ(finding.text.find("cannot be checked"), std::string::npos) << finding.text;
    }
    standby->stop();
    EXPECT_TRUE(test::wait_until([&] { return db_.sql("SELECT active FROM pg_replication_slots") == "false"; }));
    expect("replication", schema::FindingLevel::kError, "and every row that was deleted since",
           "pg_drop_replication_slot('standby')");
    primary.run_sql("SELECT pg_drop_replication_slot('standby')");
}

TEST_F(Doctor, Connections) {
    limits_.process_sessions = 1000;
    expect("connections", schema::FindingLevel::kWarning,
           "of the server (max_connections) are free, and one more process opens 1000");
    limits_.process_sessions = 5;
    expect_ok("connections");
    db_.sql("ALTER DATABASE " + db_.sql("SELECT current_database()") + " CONNECTION LIMIT 4");
    expect("connections", schema::FindingLevel::kWarning, "(CONNECTION LIMIT) are free");
    db_.sql("ALTER DATABASE " + db_.sql("SELECT current_database()") + " CONNECTION LIMIT -1");
    db_.sql("ALTER ROLE postgres CONNECTION LIMIT 4");
    expect("connections", schema::FindingLevel::kWarning, "of the role postgres (CONNECTION LIMIT) are free");
    db_.sql("ALTER ROLE postgres CONNECTION LIMIT -1");
}

TEST_F(Doctor, DeadRowsOfTheQueue) {
    // A session's statistics are there when it has ended.
    const auto insert_and_delete = [this] {
        pg::Session session = test::connect_or_abort(db_.url());
        ASSERT_TRUE(
            session.execute_script("INSERT INTO messages (recipient, content) SELECT 'a', 'b' FROM generate_series(1, 100)"));
        ASSERT_TRUE(session.execute_script("DELETE FROM messaging._queue"));
    };
    const auto dead_rows = [this] {
        return db_.number("SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = '_queue' AND schemaname = 'messaging'");
    };
    limits_.dead_rows = 90;
    insert_and_delete();
    EXPECT_TRUE(test::wait_until([&] { return dead_rows() == 100; }));
    expect("vacuum", schema::FindingLevel::kWarning, "messaging._queue has 100 dead rows beside 0 others; last vacuum: never",
           "VACUUM messaging._queue");
    db_.sql("VACUUM messaging._queue");
    EXPECT_TRUE(test::wait_until([&] { return dead_rows() == 0; }));
    insert_and_delete();
    EXPECT_TRUE(test::wait_until([&] { return dead_rows() == 100; }));
    expect_ok("vacuum");
    limits_.dead_rows = 9;  // ten times as many count whenever the vacuum was
    expect("vacuum", schema::FindingLevel::kWarning, "messaging._queue has 100 dead rows");
}

TEST_F(Doctor, VacuumThatIsSwitchedOff) {
    db_.sql("ALTER TABLE messaging._schedule SET (autovacuum_enabled = off)");
    expect("vacuum", schema::FindingLevel::kError, "autovacuum is disabled for messaging._schedule");
    follow_advice("vacuum");
    set_for_server("autovacuum", "off");
    expect("vacuum", schema::FindingLevel::kError, "autovacuum is off");
    reset_for_server("autovacuum");
}

TEST_F(Doctor, Wraparound) {
    const std::int64_t age = db_.number("SELECT max(age(datfrozenxid)) FROM pg_database");
    limits_.xid_age = age * 2 / 3;
    EXPECT_EQ(examine_all()["wraparound"][0].level, schema::FindingLevel::kWarning);
    limits_.xid_age = age / 2;
    const schema::Finding finding = examine_all()["wraparound"][0];
    EXPECT_EQ(finding.level, schema::FindingLevel::kError);
    EXPECT_NE(finding.text.find("transaction numbers before PostgreSQL refuses to write"), std::string::npos) << finding.text;
}

TEST_F(Doctor, SequencesBehindTheIds) {
    const std::string with_id = "INSERT INTO messages (id, recipient, content) OVERRIDING SYSTEM VALUE VALUES (";
    db_.sql(with_id + "9223372036854775807, 'a', 'b')");
    expect_ok("sequences");
    db_.sql(with_id + "7, 'a', 'b'), (8, 'a', 'b')");
    expect("sequences", schema::FindingLevel::kError, "the sequence of public.messages is at 0, and id 7 exists");
    follow_advice("sequences");
    insert(1);
    EXPECT_EQ(db_.sql("SELECT id FROM messages ORDER BY id"), "7 8 9 9223372036854775807");
    for (const char* row :
         {"messaging._sent_batch (batch_id, sent_at, size, ids) OVERRIDING SYSTEM VALUE VALUES (5, now(), 0, '{}')",
          "messaging._instance (instance_id, name) OVERRIDING SYSTEM VALUE VALUES (5, 'a')",
          "messaging.endpoints (id, name, url) OVERRIDING SYSTEM VALUE VALUES (5, 'a', 'http://b/')",
          "messaging._replay (id, status, first_id, last_id, walked_to, created_by) OVERRIDING SYSTEM VALUE VALUES (5, 'dead', "
          "0, 0, 0, 'a')",
          "messaging.events (id, type, data) OVERRIDING SYSTEM VALUE VALUES (5, 'invoice.paid', '{}')"}) {
        db_.sql(std::string("INSERT INTO ") + row);
        expect("sequences", schema::FindingLevel::kError, std::string(row).substr(0, std::string(row).find(' ')));
        follow_advice("sequences");
    }
}

}  // namespace
}  // namespace messaging::repository
