// The plans of the statements that run all the time: an index for every table that grows, whatever the statistics say.
#include <algorithm>
#include <array>
#include <map>

#include "core/outcome.h"
#include "crypto/sealer.h"
#include "engine/claim_store.h"
#include "engine/instance_store.h"
#include "engine/receipt_backlog_store.h"
#include "engine/record_store.h"
#include "repository/control_store.h"
#include "repository/endpoint_figures_store.h"
#include "repository/endpoint_registry.h"
#include "repository/event_store.h"
#include "repository/instance_store.h"
#include "repository/message_store.h"
#include "repository/receipt_backlog_store.h"
#include "repository/replay_store.h"
#include "repository/secret_store.h"
#include "service/control_store.h"
#include "service/message_store.h"
#include "support/engine_stores.h"
#include "support/private_postgres.h"
#include "support/stores.h"

namespace messaging::repository {
namespace {

using core::OutcomeKind;
using service::ListStatus;
using test::Stores;

// Statements that a session has prepared, as PostgreSQL knows them.
constexpr pg::Statement kPrepared{
    "list_prepared",
    "SELECT name, statement, array_to_string(parameter_types, ',') FROM pg_prepared_statements WHERE NOT from_sql"};

// What a plan must name for each statement that reads a table that grows; one that is not listed here fails the test.
const std::map<std::string, std::vector<std::string>> kIndexes{
    {"claim_ready", {"_queue_fifo", "messages_pkey"}},
    {"claim_due", {"_schedule_due", "messages_pkey"}},
    {"reschedule_orphans", {"messages_pkey"}},
    {"load_endpoints", {"_endpoint_secret_endpoint"}},
    {"load_endpoint", {"_endpoint_secret_endpoint"}},
    {"wait_for_disk", {}},
    {"create_secrets", {}},  // reads endpoints, once for each new one
    {"seal_secrets", {"_endpoint_secret_pkey"}},
    {"read_secrets", {"_endpoint_secret_endpoint"}},
    {"rotate_secret", {}},  // a function
    {"add_figures", {}},
    {"forget_old_figures", {"_endpoint_minute_age"}},
    {"get_endpoint", {"_endpoint_minute_pkey", "_hold_endpoint", "messages_pkey"}},
    {"list_endpoints", {"_endpoint_minute_pkey", "_hold_endpoint", "messages_pkey"}},
    {"create_endpoint", {}},
    {"create_endpoint_once", {"_idempotency_key_pkey"}},
    {"change_endpoint", {}},
    {"remove_endpoint", {}},
    {"disable_endpoint", {}},
    {"enable_endpoint", {}},
    {"find_endpoints", {}},
    {"lock_claims", {"_claim_pkey"}},
    {"mark_sent", {"messages_pkey"}},
    {"leave_places", {"messages_pkey", "_schedule_pkey", "_dead_pkey", "_hold_pkey"}},
    {"mark_failed", {"messages_pkey", "_claim_pkey"}},
    {"record_uncounted", {"_claim_pkey", "messages_pkey"}},
    {"finish_claims", {"_claim_pkey", "messages_pkey"}},
    {"note_suspects", {}},
    {"find_unlocked", {"messages_pkey"}},
    {"reschedule_not_in_memory", {"_claim_pkey", "messages_pkey"}},
    {"claim_held", {"_hold_endpoint", "messages_pkey"}},
    {"peek_held", {"_hold_endpoint"}},
    {"dead_letter_held", {"_hold_pkey"}},
    {"peek_ready", {"_queue_fifo"}},
    {"peek_due", {"_schedule_due"}},
    {"dead_letter_ready", {"_queue_fifo"}},
    {"dead_letter_due", {"_schedule_pkey"}},
    {"confirm_receipts", {"_receipt_backlog_pkey"}},
    {"read_receipt_backlog", {"_receipt_backlog_instance", "_sent_batch_pkey", "messages_pkey"}},
    {"reclaim_receipt_backlog", {"_receipt_backlog_instance", "_receipt_backlog_pkey"}},
    {"move_receipt_backlog", {"_receipt_backlog_pkey"}},
    {"register_instance", {}},
    {"heartbeat", {}},
    {"check_instances", {}},
    {"take_claims", {}},
    {"reclaim", {"messages_pkey"}},
    {"move_claims", {}},
    {"list_sent", {"_sent_batch_pkey", "messages_pkey"}},
    {"list_sent_by_id", {"messages_pkey"}},
    {"list_pending", {"_queue_fifo", "messages_pkey", "_schedule_pkey", "_hold_pkey", "_dead_pkey"}},
    {"list_sending", {"messages_pkey", "_schedule_pkey", "_hold_pkey", "_dead_pkey"}},
    {"list_scheduled", {"_schedule_due", "messages_pkey", "_hold_pkey", "_dead_pkey"}},
    {"list_held_of_endpoint", {"_hold_endpoint", "messages_pkey", "_schedule_pkey", "_dead_pkey"}},
    {"list_held", {"_hold_pkey", "messages_pkey", "_schedule_pkey", "_dead_pkey"}},
    {"list_dead", {"_dead_pkey", "messages_pkey", "_schedule_pkey", "_hold_pkey"}},
    {"list_all", {"messages_pkey"}},
    {"list_recipient", {"messages_recipient", "messages_pkey"}},
    {"list_messages_of_event", {"messages_event", "messages_pkey"}},
    {"get_message", {"messages_pkey"}},
    {"get_attempts", {"_attempt_message"}},
    {"retry_message", {"messages_pkey"}},
    {"cancel_message", {"messages_pkey"}},
    {"list_replays", {"_replay_pkey"}},
    {"get_replay", {"_replay_pkey"}},
    {"count_replay", {}},   // a function
    {"create_replay", {}},  // a function
    {"create_replay_once", {"_idempotency_key_pkey"}},
    {"cancel_replay", {"_replay_pkey"}},
    {"insert_messages", {}},
    {"take_key", {}},
    {"insert_messages_once", {"_idempotency_key_pkey"}},
    {"read_key", {"_idempotency_key_pkey"}},
    {"forget_old_keys", {"_idempotency_key_age", "_idempotency_key_pkey"}},
    {"show_state", {}},
    {"list_instances", {}},
    {"count_messages", {"_queue_fifo", "_sent_batch_pkey", "messages_pkey"}},
    {"list_events", {"events_pkey", "messages_event"}},
    {"get_event", {"events_pkey", "messages_event"}},
    {"list_event_messages", {"messages_event", "_schedule_pkey", "_hold_pkey", "_dead_pkey"}},
    {"publish_events", {}},  // a function
    {"publish_events_once", {"_idempotency_key_pkey"}},
};

// These read a table that stays small, or no more than a fixed number of rows of one that grows.
const std::map<std::string, std::vector<std::string>> kMayScan{
    {"count_messages", {"_schedule", "_hold", "_dead"}},  // the first 5,000 rows
    // The ledger of what is in flight, once for a list that has a message in no other place.
    {"list_sent", {"_claim"}},
    {"list_sent_by_id", {"_claim"}},
    {"list_pending", {"_claim"}},
    {"list_sending", {"_claim"}},
    {"list_scheduled", {"_claim"}},
    {"list_held", {"_claim"}},
    {"list_held_of_endpoint", {"_claim"}},
    {"list_dead", {"_claim"}},
    {"list_all", {"_claim"}},
    {"list_recipient", {"_claim"}},
    {"list_messages_of_event", {"_claim"}},
    {"get_message", {"_claim"}},
    {"list_event_messages", {"_claim"}},
    {"get_endpoint", {"_claim"}},
    {"list_endpoints", {"_claim"}},
    {"disable_endpoint", {"_claim"}},
    {"enable_endpoint", {"_claim"}},
    {"take_claims", {"_claim"}},  // the ledger of what is in flight, once an engine has failed
    {"reclaim", {"_claim"}},
    {"move_claims", {"_claim"}},
    {"reschedule_orphans", {"_claim"}},
};

// The plans of PostgreSQL 13 list both ways of an EXISTS, a lookup and a scan for a hash table; the executor takes the cheaper
// one.
const std::map<std::string, std::vector<std::string>> kMayListScanBefore14{
    {"retry_message", {"_schedule", "_dead"}},
};

constexpr std::array kGrowing{"messages",
                              "_queue",
                              "_claim",
                              "_schedule",
                              "_hold",
                              "_dead",
                              "_sent_batch",
                              "events",
                              "_receipt_backlog",
                              "_attempt",
                              "_idempotency_key",
                              "_endpoint_minute",
                              "_endpoint_secret",
                              "_replay"};

// Statistics as a database may have them when it matters.
enum class Statistics { kOfAnEmptyDatabase, kNone, kFromWhenItWasEmpty, kRight, kOfDeadRows };

std::string qualified(const std::string& table) { return (table == "messages" ? "public." : "messaging.") + table; }

// A large table messages; thousands that wait, are scheduled, or are dead.
void fill(const std::string& url) {
    constexpr const char* kInsert =
        "INSERT INTO messages (recipient, content, is_sent, attempts, sent_at) SELECT '+90' || g % 500, ";
    pg::Session session = test::connect_or_abort(url);
    const auto filled = session.execute_script(
        "SET session_replication_role = replica; " + std::string(kInsert) +
        "repeat('x', 64), true, 1, now() FROM generate_series(1, 100000) g; " + kInsert +
        "'x', false, 1, NULL FROM generate_series(1, 6000) g; "
        "INSERT INTO messaging._sent_batch (sent_at, size, ids) SELECT now(), 100, array_agg(id) FROM messages WHERE is_sent"
        " GROUP BY id / 100; "
        "INSERT INTO messaging._receipt_backlog (batch_id, instance_id) SELECT batch_id, 999 FROM messaging._sent_batch; "
        "INSERT INTO messaging._schedule (id, due_at) SELECT id, now() + interval '1 hour' FROM messages WHERE NOT is_sent"
        " AND id % 3 = 0; "
        "INSERT INTO messaging._dead (id, reason) SELECT id, 'HTTP 500' FROM messages WHERE NOT is_sent AND id % 3 = 1; "
        "INSERT INTO messaging._queue (id) SELECT id FROM messages WHERE NOT is_sent AND id % 3 = 2; "
        "INSERT INTO messaging._hold (id, endpoint_id) SELECT id, 1 FROM messages WHERE is_sent AND id % 20 = 0; "
        "INSERT INTO messaging._attempt (message_id, attempt, status, duration_ms, error) SELECT id, 1, 500, 10, 'HTTP 500'"
        " FROM messages WHERE NOT is_sent; "
        "INSERT INTO messaging._idempotency_key (scope, key, fingerprint, status, body, created_at) SELECT 'POST /messages',"
        " g, g, 201, repeat('x', 150), now() - g * interval '5 s' FROM generate_series(1, 20000) g; "
        "INSERT INTO messaging._endpoint_minute SELECT e, now() - m * interval '1 minute', 1, 0, '{0,1}', NULL"
        " FROM generate_series(1, 20) e, generate_series(1, 1440) m; "
        "INSERT INTO messaging._claim (claim_id, instance_id, ids, attempts, generations)"
        " SELECT id / 500, 999, array_agg(id), array_agg(attempts), array_agg(generation)"
        " FROM messages WHERE NOT is_sent GROUP BY id / 500; "
        "INSERT INTO messaging.events (type, data) SELECT 'invoice.paid', '{}' FROM generate_series(1, 20000); "
        "INSERT INTO messaging._replay (state, status, first_id, last_id, walked_to, created_by)"
        " SELECT 'done', 'dead', 0, 0, 0, 'test' FROM generate_series(1, 5000); "
        "INSERT INTO messaging.endpoints (name, url) SELECT 'e' || g, 'http://127.0.0.1/' FROM generate_series(1, 2000) g; "
        "INSERT INTO messaging._endpoint_secret (endpoint_id, kind, secret) SELECT id, 'v1', 'whsec_' || repeat('k', 32)"
        " FROM messaging.endpoints WHERE id > 1");
    ASSERT_TRUE(filled) << filled.error().message;
}

// A database with these statistics, which each test gets a copy of. Answers its name.
std::string make_filled(Statistics statistics) {
    const std::string url = test::fresh_database();
    Stores db(url);
    for (const char* table : kGrowing) db.sql("ALTER TABLE " + qualified(table) + " SET (autovacuum_enabled = false)");
    if (statistics == Statistics::kFromWhenItWasEmpty) db.sql("ANALYZE");
    if (statistics != Statistics::kOfAnEmptyDatabase) fill(url);
    if (statistics >= Statistics::kRight) db.sql("VACUUM ANALYZE");
    // As autovacuum leaves them where all rows are dead and an old snapshot keeps them: no rows on many pages.
    if (statistics == Statistics::kOfDeadRows) {
        for (const char* table : {"_queue", "_schedule", "_hold", "_claim", "_receipt_backlog"}) {
            db.sql("UPDATE pg_class SET reltuples = 0 WHERE oid = '" + qualified(table) +
                   "'::regclass OR oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = '" + qualified(table) +
                   "'::regclass)");
        }
    }
    return db.sql("SELECT current_database()");
}

std::string filled_database(Statistics statistics) {
    static std::map<Statistics, std::string> made;
    static int copies = 0;
    if (!made.contains(statistics)) made[statistics] = make_filled(statistics);
    return test::shared_postgres().create_database("plans_" + std::to_string(++copies), made[statistics]);
}

class Plans : public testing::TestWithParam<Statistics> {
protected:
    // Has the engine's statements prepared, by running them.
    void use_as_engine(pg::Connection& claim, pg::Connection& record, pg::Connection& listen) {
        test::EngineStores queue(claim, record);
        PgInstanceStore instances(listen);
        PgReceiptBacklogStore backlog(record);
        db_.sql("INSERT INTO messages (recipient, content) SELECT '+90', 'x' FROM generate_series(1, 5)");
        const auto me =
            db_.value<core::InstanceId>([&](auto done) { instances.register_instance("plans", "", std::move(done)); });
        db_.value<bool>([&](auto done) { instances.heartbeat(me, 1, 0, std::move(done)); });
        using Signs = std::vector<engine::LivenessSample>;
        db_.value<Signs>([&](auto done) { instances.check_instances(me, std::chrono::seconds(8), std::move(done)); });
        db_.value<engine::Reclaimed>(
            [&](auto done) { instances.reclaim(me, {me + 1}, std::chrono::seconds(2), true, std::move(done)); });
        using Claims = std::vector<core::ClaimId>;
        db_.value<Claims>([&](auto done) { instances.move_claims(me, {1, 2}, std::move(done)); });
        const auto load = [&](PgEndpointStore& store) {
            db_.value<std::vector<core::Endpoint>>([&](auto done) { store.load_endpoints(std::move(done)); });
        };
        db_.sql("UPDATE messaging.endpoints SET signing = 'v1'");
        load(queue);  // makes a secret
        PgEndpointStore with_key(claim, crypto::Sealer({core::SecretText(std::string(crypto::kSealingKeyBytes, 'k'))}));
        load(with_key);  // seals it
        engine::ClaimRequest request;
        request.instance_id = me;
        request.limit = 9;
        request.claim_id = 1'000'001;
        db_.value<engine::ClaimBatch>([&](auto done) { queue.claim_due(request, std::move(done)); });
        request.claim_id = 1'000'002;
        const auto batch = db_.value<engine::ClaimBatch>([&](auto done) { queue.claim_ready(request, std::move(done)); });
        request.claim_id = 1'000'003;
        request.other_capacity = 8;
        db_.value<engine::ClaimBatch>([&](auto done) { queue.claim_held(request, std::move(done)); });
        for (const auto source : {engine::Source::kReady, engine::Source::kDue, engine::Source::kHeld}) {
            using First = std::optional<core::MessageId>;
            db_.value<First>([&](auto done) { queue.peek(source, engine::ClaimRequest{}, std::move(done)); });
            db_.value<core::Unit>([&](auto done) { queue.dead_letter(source, 1, "x", std::move(done)); });
        }
        std::vector<core::Outcome> outcomes;
        const std::array kinds{OutcomeKind::kDelivered, OutcomeKind::kRetry, OutcomeKind::kDead, OutcomeKind::kDeferred,
                               OutcomeKind::kReleased};
        ASSERT_GE(batch.deliveries.size(), kinds.size());
        for (std::size_t i = 0; i < kinds.size(); ++i) {
            outcomes.push_back(core::uncounted(batch.deliveries[i], kinds[i]));
            ++outcomes.back().attempts;
        }
        const core::ClaimId claimed = batch.deliveries[0].claim_id;
        engine::RecordRequest record_all;
        record_all.instance_id = me;
        record_all.outcomes = outcomes;
        record_all.finished = {claimed};
        record_all.confirmed_batches = {1};
        record_all.suspects = {1};
        db_.value<engine::RecordResult>([&](auto done) { queue.record(record_all, std::move(done)); });
        db_.value<std::vector<core::MessageId>>([&](auto done) { queue.find_unlocked({1, 2}, std::move(done)); });
        db_.value<engine::OrphanCount>([&](auto done) { queue.reschedule_orphans(me, {claimed}, {1}, std::move(done)); });
        db_.value<std::vector<engine::BacklogBatch>>([&](auto done) { backlog.read_backlog(me, {}, 10, std::move(done)); });
        db_.value<std::size_t>([&](auto done) { backlog.reclaim_backlog(me, 10, std::move(done)); });
        db_.value<core::Unit>([&](auto done) { backlog.move_backlog(me, me + 1, {1}, std::move(done)); });
    }

    void use_as_api(pg::Connection& api) {
        PgMessageStore messages(api);
        PgControlStore control(api);
        for (const ListStatus status : service::kListStatuses) {
            for (const std::optional<std::string>& recipient :
                 {std::optional<std::string>(), std::optional<std::string>("+907")}) {
                service::ListQuery query{status, recipient, 50, service::ListPosition{5, 5}};
                db_.value<service::ListPage>([&](auto done) { messages.list(query, std::move(done)); });
                query.since = core::Microseconds(std::chrono::seconds(1'700'000'000));
                db_.value<service::ListPage>([&](auto done) { messages.list(query, std::move(done)); });
                query.endpoint_id = 1;
                db_.value<service::ListPage>([&](auto done) { messages.list(query, std::move(done)); });
            }
        }
        service::ListQuery of_event{ListStatus::kAll};
        of_event.event_id = 7;
        db_.value<service::ListPage>([&](auto done) { messages.list(of_event, std::move(done)); });
        const core::MessageId id = db_.number("SELECT min(id) FROM messages");
        db_.value<service::MessageDetail>([&](auto done) { messages.get({id}, std::move(done)); });
        db_.value<core::Unit>([&](auto done) { messages.retry({id}, [done](auto) { done(core::Unit{}); }); });
        db_.value<core::Unit>([&](auto done) { messages.cancel({id}, {}, [done](auto) { done(core::Unit{}); }); });
        db_.value<std::vector<service::CreatedMessage>>([&](auto done) { messages.enqueue({{"+90", "x"}}, std::move(done)); });
        db_.value<service::StoredResponse>([&](auto done) {
            messages.enqueue_once({{"+90", "x"}}, {"POST /messages", "new", "x"}, {201, {"", "", ""}}, std::move(done));
        });
        db_.value<service::StatusView>([&](auto done) { control.read_status(std::move(done)); });
        db_.sql("UPDATE messaging.endpoints SET signing = 'v1'");
        PgSecretStore secrets(api);
        using Secrets = service::EndpointSecrets;
        db_.value<Secrets>([&](auto done) { secrets.read_secrets(1, std::move(done)); });  // makes it
        db_.value<Secrets>([&](auto done) { secrets.rotate(1, {}, service::kDefaultSecretOverlap, std::move(done)); });
        PgEndpointStore tested(api);
        db_.value<core::Endpoint>([&](auto done) { tested.load_endpoint({1, {}}, std::move(done)); });
    }

    void use_as_events_api(pg::Connection& api) {
        PgEventStore events(api, api);
        db_.value<service::EventPage>([&](auto done) { events.list({.type = "invoice.paid", .after = 500}, std::move(done)); });
        db_.value<service::EventDetail>([&](auto done) { events.get(7, std::move(done)); });
        const std::vector<service::NewEvent> paid{{"invoice.paid", "{}"}};
        db_.value<std::vector<service::CreatedEvent>>([&](auto done) { events.publish(paid, std::move(done)); });
        db_.value<service::StoredResponse>([&](auto done) {
            events.publish_once(paid, {"POST /events", "new", "x"}, {201, {"", "", "", ""}}, std::move(done));
        });
    }

    void use_as_endpoints_api(pg::Connection& api) {
        PgEndpointRegistry registry(api, api);
        service::EndpointChanges shop;
        shop.name = "shop";
        shop.url = "http://a/";
        db_.value<service::CreatedEndpoint>([&](auto done) { registry.create(shop, std::move(done)); });
        shop.name = "other";
        db_.value<service::StoredResponse>([&](auto done) {
            registry.create_once(shop, {"POST /endpoints", "new", "x"}, {201, {"", "", "", "", ""}}, std::move(done));
        });
        const service::EndpointRef endpoint{std::nullopt, "shop"};
        using View = service::EndpointView;
        db_.value<service::EndpointPage>([&](auto done) { registry.list({}, std::move(done)); });
        db_.value<View>([&](auto done) { registry.get(endpoint, std::move(done)); });
        db_.value<View>([&](auto done) { registry.change(endpoint, {}, std::move(done)); });
        db_.value<View>([&](auto done) { registry.disable(endpoint, {}, std::move(done)); });
        db_.value<View>([&](auto done) { registry.enable(endpoint, std::move(done)); });
        db_.value<View>([&](auto done) { registry.remove(endpoint, std::move(done)); });
        db_.value<std::vector<std::optional<core::EndpointId>>>([&](auto done) {
            registry.find({"shop", "1"}, std::move(done));
        });
        PgEndpointFiguresStore figures(api);
        db_.value<core::Unit>([&](auto done) { figures.add_figures({{.endpoint = 1, .sent = 1}}, std::move(done)); });
    }

    void use_as_replays_api(pg::Connection& api) {
        PgReplayStore replays(api, api);
        using View = service::ReplayView;
        db_.value<service::ReplayPage>([&](auto done) { replays.list({}, std::move(done)); });
        db_.value<service::Count>([&](auto done) { replays.count({}, std::move(done)); });
        const auto made = db_.value<View>([&](auto done) { replays.create({.endpoint = "default"}, "test", std::move(done)); });
        db_.value<service::StoredResponse>([&](auto done) {
            replays.create_once({.endpoint = "default"}, "test", {"POST /replays", "new", "x"}, {202, {"", "", "", "", ""}},
                                std::move(done));
        });
        db_.value<View>([&](auto done) { replays.get(made.id, std::move(done)); });
        db_.value<View>([&](auto done) { replays.cancel(made.id, std::move(done)); });
    }

    static std::string sample(const std::string& type) {
        return type == "text" ? "'5'" : type.ends_with("[]") ? "'{1,2,3}'" : type == "boolean" ? "true" : "5";
    }

    std::string explain(pg::Session& session, const std::string& name, const std::string& types) {
        std::string arguments;
        for (std::size_t begin = 0; begin < types.size();) {
            const std::size_t end = std::min(types.find(',', begin), types.size());
            arguments += (arguments.empty() ? "(" : ", ") + sample(types.substr(begin, end - begin));
            begin = end + 1;
        }
        const auto rows =
            session.execute(("EXPLAIN (COSTS OFF) EXECUTE " + name + arguments + (arguments.empty() ? "" : ")")).c_str());
        EXPECT_TRUE(rows.ok()) << name << ": " << rows.error().message;
        std::string plan;
        for (int row = 0; rows && row < rows->size(); ++row) plan += std::string(rows->text(row, 0)) + "\n";
        return plan;
    }

    bool may_scan(const std::string& name, const std::string& table) const {
        const auto has = [&](const std::map<std::string, std::vector<std::string>>& allowed) {
            const auto tables = allowed.find(name);
            return tables != allowed.end() &&
                   std::find(tables->second.begin(), tables->second.end(), table) != tables->second.end();
        };
        return has(kMayScan) || (server_version_ < 140000 && has(kMayListScanBefore14));
    }

    void check(const std::string& name, const std::string& plan) const {
        const auto indexes = kIndexes.find(name);
        if (indexes == kIndexes.end()) {
            ADD_FAILURE() << name << " is not in kIndexes:\n" << plan;
            return;
        }
        for (const std::string& index : indexes->second) {
            EXPECT_NE(plan.find(index), std::string::npos) << name << " does not use " << index << "\n" << plan;
        }
        for (const std::string table : kGrowing) {
            if (may_scan(name, table)) continue;
            // A line of a plan ends behind the table or its alias.
            for (const char* end : {"\n", " "}) {
                EXPECT_EQ(plan.find("Seq Scan on " + table + end), std::string::npos) << name << "\n" << plan;
            }
        }
    }

    // Explains what the session has prepared, as another session with the same settings. How many.
    int check_all(pg::Connection& connection, const SessionSettings& settings, bool joins_row_by_row) {
        const auto prepared = db_.answer<std::vector<pg::Rows>>([&](auto done) {
            connection.execute({{&kPrepared, {}}}, [done](core::Result<std::vector<pg::Rows>> rows) { done(std::move(rows)); });
        });
        EXPECT_TRUE(prepared.ok());
        if (!prepared) return 0;
        pg::Session session = test::connect_or_abort(db_.url());
        for (const auto& [name, value] : settings) EXPECT_TRUE(session.execute_script("SET " + name + " = '" + value + "'"));
        // A session that leaves the choice to PostgreSQL may meet either plan.
        std::vector<std::string> modes{"force_generic_plan"};
        const bool is_forced =
            std::any_of(settings.begin(), settings.end(), [](const auto& s) { return s.first == "plan_cache_mode"; });
        if (!is_forced) modes.emplace_back("force_custom_plan");
        int explained = 0;
        const pg::Rows& rows = prepared->front();
        for (int row = 0; row < rows.size(); ++row) {
            const std::string name(rows.text(row, 0));
            const std::string statement(rows.text(row, 1));
            if (name == kPrepared.name || statement.starts_with("LISTEN")) continue;
            EXPECT_TRUE(session.execute_script("PREPARE " + name + " AS " + statement));
            for (const std::string& mode : modes) {
                EXPECT_TRUE(session.execute_script("SET plan_cache_mode = " + mode));
                const std::string plan = explain(session, name, std::string(rows.text(row, 2)));
                check(name, plan);
                for (const char* join : {"Hash Join", "Hash Semi Join", "Merge Join", "Merge Semi Join", "Merge Left Join"}) {
                    EXPECT_TRUE(!joins_row_by_row || plan.find(join) == std::string::npos) << name << "\n" << plan;
                }
                // For one claim of 1,000 it would read and sort all of a burst.
                for (const char* place : {"_queue", "_schedule", "_hold"}) {
                    const bool by_bitmap = plan.find(std::string("Bitmap Heap Scan on ") + place) != std::string::npos;
                    EXPECT_FALSE(name.starts_with("claim_") && by_bitmap) << plan;
                }
            }
            ++explained;
        }
        return explained;
    }

    Stores db_{filled_database(GetParam())};
    const std::int64_t server_version_ = db_.number("SELECT current_setting('server_version_num')");
};

// What is asked for is the plan, and not how long the statement takes on this machine.
SessionSettings patient(SessionSettings settings) {
    for (auto& [name, value] : settings) {
        if (name == "statement_timeout") value = "1min";
    }
    return settings;
}

using EnginePlans = Plans;

TEST_P(EnginePlans, NoStatementOfAnEngineScansATableThatGrows) {
    pg::Connection& claim = db_.open_session(patient(claim_session_settings()));
    pg::Connection& record = db_.open_session(patient(record_session_settings()));
    pg::Connection& listen = db_.open_session(patient(listen_session_settings()));
    use_as_engine(claim, record, listen);
    EXPECT_EQ(check_all(claim, claim_session_settings(), true),
              15);  // three claims, three peeks, three dead letters, two of orphans, endpoints, three of their secrets
    EXPECT_EQ(check_all(record, record_session_settings(), true),
              12);  // lock, sent, places, failed, uncounted, finished, confirmed, suspects, unlocked; the backlog read,
                    // reclaimed, moved
    if (GetParam() != Statistics::kOfAnEmptyDatabase) {                     // where a scan costs no more than an index
        EXPECT_EQ(check_all(listen, listen_session_settings(), false), 6);  // register, heartbeat, sample, take, reclaim, move
    }
}

// Not in an empty database, where a scan costs no more than an index.
using ListPlans = Plans;

TEST_P(ListPlans, NoListReadsMoreThanItsPage) {
    pg::Connection& api = db_.open_session(patient(api_session_settings()));
    use_as_api(api);
    use_as_endpoints_api(api);
    use_as_events_api(api);
    use_as_replays_api(api);
    // Eleven lists, message, attempts, retry, cancel, insert, three of a key, insert with a key, three of the status; nine of
    // endpoints and two of their figures; four of the secrets; one to be tested; five of events; six of replays.
    EXPECT_EQ(check_all(api, api_session_settings(), true), 50);
}

// What stands in PL/pgSQL has no plan to ask for, but every scan is counted. A round of reconcile may read what is open once.
TEST_P(Plans, ReconcileNeverScansTheArchiveAndTheTriggersScanNothing) {
    pg::Session session = test::connect_or_abort(db_.url());
    const auto run = [&](const std::string& sql) {
        const auto done = session.execute_script(sql);
        ASSERT_TRUE(done) << done.error().message;
    };
    const auto scans = [&](const std::string& tables) {
        const auto rows =
            session.execute(("SELECT sum(seq_scan) FROM pg_stat_xact_user_tables WHERE relname IN (" + tables + ")").c_str());
        EXPECT_TRUE(rows);
        return rows ? rows->bigint(0, 0) : -1;
    };
    // Within one transaction, since the counts of ended ones can be asked for from PostgreSQL 15 only.
    const auto expect_no_scan = [&](const std::string& tables, const std::string& sql) {
        run("BEGIN");
        const std::int64_t before = scans(tables);
        run(sql);
        EXPECT_EQ(scans(tables) - before, 0) << sql;
        run("COMMIT");
    };
    constexpr int kRounds = 10;  // more than five: by then a plan may be a generic one
    const std::string hot = "'messages', '_queue', '_schedule', '_hold', '_dead'";
    for (int round = 0; round < kRounds; ++round) {
        expect_no_scan(hot, "INSERT INTO messages (recipient, content) SELECT '+90', 'x' FROM generate_series(1, 3)");
        if (GetParam() != Statistics::kOfAnEmptyDatabase) {  // where a scan of ten rows costs no more than an index
            expect_no_scan(hot, "SELECT messaging.cancel(ARRAY[lastval() - 1, lastval() - 2])");  // while they are new
        }
        expect_no_scan(hot, "UPDATE messages SET is_sent = true WHERE id = (SELECT lastval())");
        expect_no_scan(hot, "UPDATE messages SET is_sent = false WHERE id = (SELECT lastval())");
        expect_no_scan(hot, "DELETE FROM messages WHERE id = (SELECT lastval())");
    }
    for (const auto& [name, value] : reconcile_session_settings()) run("SET " + name + " = '" + value + "'");
    for (int round = 0; round < kRounds; ++round) {
        run("INSERT INTO public.messages (recipient, content) VALUES ('+90', 'x')");
        run("UPDATE messaging._reconcile SET next_round = now(), next_tail = now()");
        if (GetParam() != Statistics::kOfAnEmptyDatabase) {  // where a scan of ten rows costs no more than an index
            expect_no_scan("'messages'", "SELECT messaging._reconcile_round(1000)");
        }
    }
}

// Neither does a round of a replay, whatever it chooses.
TEST_P(Plans, ARoundOfAReplayScansNothingThatGrows) {
    if (GetParam() == Statistics::kOfAnEmptyDatabase) return;  // where a scan of ten rows costs no more than an index
    pg::Session session = test::connect_or_abort(db_.url());
    for (const char* arguments : {"'default', 'dead'", "'default', 'sent'", "event_type => 'a.*', status => 'both'"}) {
        const auto made = session.execute_script("SELECT messaging.replay(" + std::string(arguments) + ")");
        ASSERT_TRUE(made) << made.error().message;
    }
    constexpr int kRounds = 12;  // four of each, and more than five of the functions that all share
    for (int round = 0; round < kRounds; ++round) {
        const auto done = session.execute_script(
            "BEGIN; UPDATE messaging._replay_pace SET next_round = now(); SELECT messaging._replay_round()");
        ASSERT_TRUE(done) << done.error().message;
        const auto scans = session.execute(
            "SELECT coalesce(string_agg(relname, ' '), '') FROM pg_stat_xact_user_tables WHERE seq_scan > 0 AND relname IN"
            " ('messages', '_queue', '_schedule', '_hold', '_dead', 'events', '_replay', '_claim')");
        ASSERT_TRUE(scans);
        EXPECT_EQ(scans->text(0, 0), "") << round;
        ASSERT_TRUE(session.execute_script("COMMIT"));
    }
}

std::string name_of(const testing::TestParamInfo<Statistics>& each) {
    switch (each.param) {
        case Statistics::kOfAnEmptyDatabase: return "OfAnEmptyDatabase";
        case Statistics::kNone: return "NeverAnalysed";
        case Statistics::kFromWhenItWasEmpty: return "FromWhenItWasEmpty";
        case Statistics::kRight: return "Right";
        case Statistics::kOfDeadRows: break;
    }
    return "OfDeadRows";
}

INSTANTIATE_TEST_SUITE_P(WithStatistics, EnginePlans,
                         testing::Values(Statistics::kOfAnEmptyDatabase, Statistics::kNone, Statistics::kFromWhenItWasEmpty,
                                         Statistics::kRight, Statistics::kOfDeadRows),
                         name_of);
INSTANTIATE_TEST_SUITE_P(WithStatistics, Plans,
                         testing::Values(Statistics::kOfAnEmptyDatabase, Statistics::kNone, Statistics::kFromWhenItWasEmpty,
                                         Statistics::kRight),
                         name_of);
INSTANTIATE_TEST_SUITE_P(WithStatistics, ListPlans,
                         testing::Values(Statistics::kNone, Statistics::kFromWhenItWasEmpty, Statistics::kRight), name_of);

}  // namespace
}  // namespace messaging::repository
