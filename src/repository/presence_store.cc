// Registration, heartbeat and rescue.
#include "repository/presence_store.h"

#include "repository/unit.h"

namespace messaging::repository {
namespace {

// 772 is kInstanceLock; an instance's id wraps into the second key.
constexpr pg::Statement kListenReady{"listen_ready", "LISTEN messaging_ready"};
constexpr pg::Statement kListenControl{"listen_control", "LISTEN messaging_control"};
constexpr pg::Statement kRegister{"register_instance", R"sql(
WITH me AS (INSERT INTO engine_instance (name) VALUES ($1::text) RETURNING instance_id)
SELECT instance_id, pg_try_advisory_lock(772, (instance_id % 2147483647)::int) FROM me)sql"};

constexpr pg::Statement kMoveClaims{"move_claims", R"sql(
UPDATE message_claim SET instance_id = $2::bigint WHERE instance_id = $1::bigint RETURNING claim_id)sql"};

constexpr pg::Statement kHeartbeat{"heartbeat", R"sql(
UPDATE engine_instance SET last_seen = now(), in_flight = $2::int, floor = $3::text::xid8 WHERE instance_id = $1::bigint)sql"};

constexpr pg::Statement kReadState{"read_state", "SELECT state = 'running' FROM service_state"};

// The inner LIMIT keeps the lock function to the rows meant. Shared: those who look are not in each other's way.
constexpr pg::Statement kLookAtOthers{"look_at_others", R"sql(
SELECT instance_id, pg_try_advisory_xact_lock_shared(772, (instance_id % 2147483647)::int),
       last_seen < now() - $2::bigint * interval '1 millisecond'
FROM (SELECT instance_id, last_seen FROM engine_instance WHERE instance_id <> $1::bigint ORDER BY instance_id LIMIT 1000) i)sql"};

constexpr pg::Statement kEndSessions{"end_sessions", R"sql(
SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_locks
WHERE locktype = 'advisory' AND classid = 772 AND objsubid = 2 AND mode = 'ExclusiveLock' AND granted AND pid <> pg_backend_pid()
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND objid = ANY (ARRAY(SELECT (id % 2147483647)::oid FROM unnest($1::bigint[]) AS id)))sql"};

// Step one: the dead ones' claims become ours, which waits for whoever holds them FOR SHARE. A dead instance's lock is
// tried on a handful of rows only, and ends with the transaction. The claims get new numbers: an engine that had one of them
// before, and gets it back, must not take its old outcomes for the new ones' (they would end the claim too early).
constexpr pg::Statement kTakeOver{"take_over_claims", R"sql(
WITH named AS MATERIALIZED (
    SELECT instance_id FROM engine_instance
    WHERE instance_id <> $1::bigint AND instance_id = ANY ($2::bigint[])
    ORDER BY instance_id FOR UPDATE SKIP LOCKED),
dead AS MATERIALIZED (
    SELECT instance_id FROM named WHERE pg_try_advisory_xact_lock_shared(772, (instance_id % 2147483647)::int)),
gone AS (
    DELETE FROM engine_instance WHERE instance_id IN (SELECT instance_id FROM dead))
UPDATE message_claim c SET claim_id = DEFAULT, instance_id = $1::bigint, adopted = true
WHERE c.instance_id IN (SELECT instance_id FROM dead)
   OR (c.instance_id <> $1::bigint AND NOT EXISTS (SELECT FROM engine_instance i WHERE i.instance_id = c.instance_id)))sql"};

// Step two (`adopted` keeps out a claim of our own whose answer is still on its way), with a fresh snapshot: what the dead one
// had resolved before it died has another number of attempts, or is sent.
constexpr pg::Statement kReadAdopted{"read_adopted", R"sql(
WITH adopted AS MATERIALIZED (
    SELECT claim_id, ids, attempts FROM message_claim
    WHERE instance_id = $1::bigint AND adopted AND claim_id <> ALL ($2::bigint[])),
open AS MATERIALIZED (
    SELECT m.id, a.claim_id, m.attempts
    FROM adopted a CROSS JOIN LATERAL unnest(a.ids, a.attempts) AS u(id, attempts) JOIN messages m ON m.id = u.id
    WHERE NOT m.is_sent AND m.attempts = u.attempts),
settled AS (
    DELETE FROM message_claim
    WHERE claim_id IN (SELECT claim_id FROM adopted) AND claim_id NOT IN (SELECT claim_id FROM open))
SELECT id, claim_id, attempts FROM open)sql"};

constexpr pg::Statement kUnregister{"unregister_instance", "DELETE FROM engine_instance WHERE instance_id = $1::bigint"};

}  // namespace

void PgPresenceStore::register_instance(const std::string& name, service::Completion<core::InstanceId> done) {
    pg::Params params;
    params.text(name);
    run_unit<core::InstanceId>(
        bell_, {{&kListenReady, {}}, {&kListenControl, {}}, {&kRegister, std::move(params)}}, std::move(done),
        [](const std::vector<pg::Rows>& rows) -> core::Result<core::InstanceId> {
            if (rows[2].boolean(0, 1)) return rows[2].bigint(0, 0);
            return core::Error{core::ErrorKind::kUnavailable, "the advisory lock (772, instance) is held by another session", ""};
        });
}

void PgPresenceStore::move_claims(core::InstanceId from, core::InstanceId to,
                                  service::Completion<std::vector<core::ClaimId>> done) {
    pg::Params params;
    params.bigint(from).bigint(to);
    run_one<std::vector<core::ClaimId>>(bell_, kMoveClaims, std::move(params), std::move(done), [](const pg::Rows& rows) {
        std::vector<core::ClaimId> moved;
        moved.reserve(static_cast<std::size_t>(rows.size()));
        for (int row = 0; row < rows.size(); ++row) moved.push_back(rows.bigint(row, 0));
        return moved;
    });
}

void PgPresenceStore::heartbeat(core::InstanceId instance_id, int in_flight, service::Floor floor,
                                service::Completion<core::Nothing> done) {
    pg::Params params;
    params.bigint(instance_id).integer(in_flight).text(std::to_string(floor));
    run_one<core::Nothing>(bell_, kHeartbeat, std::move(params), std::move(done), nothing);
}

void PgPresenceStore::read_state(service::Completion<bool> done) {
    run_one<bool>(bell_, kReadState, {}, std::move(done), [](const pg::Rows& rows) { return rows.boolean(0, 0); });
}

void PgPresenceStore::look_at_others(core::InstanceId me, std::chrono::milliseconds silence,
                                     service::Completion<std::vector<service::InstanceSign>> done) {
    pg::Params params;
    params.bigint(me).bigint(silence.count());
    run_one<std::vector<service::InstanceSign>>(
        bell_, kLookAtOthers, std::move(params), std::move(done), [](const pg::Rows& rows) {
            std::vector<service::InstanceSign> signs;
            signs.reserve(static_cast<std::size_t>(rows.size()));
            for (int row = 0; row < rows.size(); ++row) {
                signs.push_back({rows.bigint(row, 0), rows.boolean(row, 1), rows.boolean(row, 2)});
            }
            return signs;
        });
}

void PgPresenceStore::end_sessions(std::vector<core::InstanceId> hung, service::Completion<std::size_t> done) {
    pg::Params params;
    params.bigint_array(hung);
    run_one<std::size_t>(bell_, kEndSessions, std::move(params), std::move(done),
                         [](const pg::Rows& rows) { return static_cast<std::size_t>(rows.bigint(0, 0)); });
}

void PgPresenceStore::adopt_dead(core::InstanceId me, std::vector<core::ClaimId> known, std::vector<core::InstanceId> dead,
                                 service::Completion<std::vector<service::AdoptedDelivery>> done) {
    pg::Params take_over;
    take_over.bigint(me).bigint_array(dead);
    pg::Params read;
    read.bigint(me).bigint_array(known);
    run_unit<std::vector<service::AdoptedDelivery>>(
        bell_, {{&kTakeOver, std::move(take_over)}, {&kReadAdopted, std::move(read)}}, std::move(done),
        [](const std::vector<pg::Rows>& rows) {
            std::vector<service::AdoptedDelivery> adopted;
            const pg::Rows& open = rows[1];
            adopted.reserve(static_cast<std::size_t>(open.size()));
            for (int row = 0; row < open.size(); ++row) {
                adopted.push_back({open.bigint(row, 0), open.bigint(row, 1), open.integer(row, 2)});
            }
            return adopted;
        });
}

void PgPresenceStore::unregister_instance(core::InstanceId instance_id, service::Completion<core::Nothing> done) {
    pg::Params params;
    params.bigint(instance_id);
    run_one<core::Nothing>(bell_, kUnregister, std::move(params), std::move(done), nothing);
}

}  // namespace messaging::repository
