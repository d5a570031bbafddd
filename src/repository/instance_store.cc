// Registration, heartbeat and reclaim.
#include "repository/instance_store.h"

#include "core/completion.h"
#include "engine/instance_store.h"
#include "engine/queue_position.h"
#include "pg/run_statement.h"

namespace messaging::repository {
namespace {

constexpr pg::Statement kListenReady{"listen_ready", "LISTEN messaging_ready"};
constexpr pg::Statement kListenDue{"listen_due", "LISTEN messaging_due"};
constexpr pg::Statement kListenControl{"listen_control", "LISTEN messaging_control"};

// The instance lock is the advisory lock (772, instance id). The id wraps, because the key has 32 bits.
constexpr pg::Statement kRegister{"register_instance", R"sql(
WITH me AS (INSERT INTO messaging._instance (name, session_tag) VALUES ($1::text, $2::text) RETURNING instance_id)
SELECT instance_id, pg_try_advisory_lock(772, (instance_id % 2147483647)::int) FROM me)sql"};

// By claim id: a claim that another engine has reclaimed is no longer there.
constexpr pg::Statement kMoveClaims{"move_claims", R"sql(
UPDATE messaging._claim SET instance_id = $1::bigint WHERE claim_id = ANY ($2::bigint[]) RETURNING claim_id)sql"};

constexpr pg::Statement kHeartbeat{"heartbeat", R"sql(
UPDATE messaging._instance SET last_seen = now(), in_flight = $2::int, floor = $3::text::xid8 WHERE instance_id = $1::bigint)sql"};

// Inserts the row of _state again if somebody has deleted it, as before a restore of the data alone. ON CONFLICT alone would wait
// for a change of the row that is under way; NOT EXISTS prevents this.
constexpr pg::Statement kReadState{"read_state", R"sql(
WITH back AS (
    INSERT INTO messaging._state (only_row) SELECT true WHERE NOT EXISTS (SELECT FROM messaging._state) ON CONFLICT DO NOTHING
    RETURNING state)
SELECT state = 'running' FROM messaging._state UNION ALL SELECT state = 'running' FROM back)sql"};

// The inner LIMIT makes PostgreSQL call the lock function only for the selected rows. Shared locks of several engines do not
// conflict. A heartbeat from the future is as old as one from the past: the clock was ahead when it was written.
constexpr pg::Statement kCheckInstances{"check_instances", R"sql(
SELECT instance_id, pg_try_advisory_xact_lock_shared(772, (instance_id % 2147483647)::int),
       abs(extract(epoch FROM now() - last_seen)) * 1000 > $2::bigint
FROM (SELECT instance_id, last_seen FROM messaging._instance WHERE instance_id <> $1::bigint ORDER BY instance_id LIMIT 1000) i)sql"};

// Ends the session that holds the instance lock, and the other sessions of the instance. When a host has vanished, one of them
// may stay in a transaction, with its locks. An engine that has registered as a new instance has the same tag: its sessions stay.
constexpr pg::Statement kEndSessions{"end_sessions", R"sql(
WITH session AS (
    SELECT pid FROM pg_locks
    WHERE locktype = 'advisory' AND classid = 772 AND objsubid = 2 AND mode = 'ExclusiveLock' AND granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND objid = ANY (ARRAY(SELECT (id % 2147483647)::oid FROM unnest($1::bigint[]) AS id))
    UNION
    SELECT a.pid FROM messaging._instance i JOIN pg_stat_activity a ON a.application_name LIKE 'messaging % ' || i.session_tag
    WHERE i.instance_id = ANY ($1::bigint[]) AND i.session_tag <> '' AND a.datname = current_database()
      AND NOT EXISTS (SELECT FROM messaging._instance j WHERE j.session_tag = i.session_tag AND j.instance_id > i.instance_id))
SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM session WHERE pid <> pg_backend_pid())sql"};

// A reclaim is two statements of one transaction. This is the first: it sets the instance of the claims to 0. It skips a claim
// that a record has locked FOR SHARE, because the record may hang; a later reclaim takes that claim. It also skips a claim that
// its engine has moved to a new instance meanwhile, because it compares instance_id again under the lock. The second statement
// deletes the claims of instance 0. It has a later snapshot, so it sees what a record has committed and does not reschedule it.
constexpr pg::Statement kTakeClaims{"take_claims", R"sql(
WITH named AS MATERIALIZED (
    SELECT instance_id FROM messaging._instance
    WHERE instance_id <> $1::bigint AND instance_id = ANY ($2::bigint[])
    ORDER BY instance_id FOR UPDATE SKIP LOCKED),
failed AS MATERIALIZED (
    SELECT instance_id FROM named WHERE pg_try_advisory_xact_lock_shared(772, (instance_id % 2147483647)::int)),
gone AS (
    DELETE FROM messaging._instance WHERE instance_id IN (SELECT instance_id FROM failed)),
picked AS MATERIALIZED (
    SELECT c.claim_id, c.instance_id FROM messaging._claim c
    WHERE c.instance_id IN (SELECT instance_id FROM failed)
       OR (c.instance_id <> $1::bigint AND NOT EXISTS (SELECT FROM messaging._instance i WHERE i.instance_id = c.instance_id))
    ORDER BY c.claim_id LIMIT $3::int FOR UPDATE OF c SKIP LOCKED)
UPDATE messaging._claim c SET instance_id = 0 FROM picked p WHERE c.claim_id = p.claim_id AND c.instance_id = p.instance_id)sql"};

// $3: whether `abandoned` is counted. A CHECK or a trigger of the application may refuse the UPDATE; the next reclaim then counts
// nothing, so that one row does not stop the others. A message whose row another session has locked or has just changed is
// scheduled without counting. If it was sent meanwhile, its next claim removes it from the schedule.
constexpr pg::Statement kReclaim{"reclaim", R"sql(
WITH taken AS (
    DELETE FROM messaging._claim WHERE instance_id = 0 RETURNING ids, attempts, generations),
open AS MATERIALIZED (
    SELECT m.id, m.attempts, m.generation
    FROM taken t CROSS JOIN LATERAL unnest(t.ids, t.attempts, t.generations) AS u(id, attempts, generation)
    JOIN public.messages m ON m.id = u.id
    WHERE messaging._is_open(m, u.attempts, u.generation)),
free AS MATERIALIZED (
    SELECT m.id FROM open o JOIN public.messages m ON m.id = o.id
    WHERE messaging._is_open(m, o.attempts, o.generation) AND $3::boolean
    ORDER BY m.id FOR NO KEY UPDATE OF m SKIP LOCKED),
counted AS (
    UPDATE public.messages m SET abandoned = least(m.abandoned + 1, 1000) WHERE m.id = ANY (ARRAY(SELECT id FROM free))
    RETURNING m.id, m.abandoned),
dead AS (
    INSERT INTO messaging._dead (id, reason)
    SELECT id, 'engines failed ' || abandoned || ' times while they had the message' FROM counted WHERE abandoned >= $1::int
    ON CONFLICT DO NOTHING),
scheduled AS (
    INSERT INTO messaging._schedule (id, due_at)
    SELECT o.id, now() + CASE WHEN coalesce(c.abandoned, 1) <= 1 THEN interval '0'
                              ELSE least($2::bigint * power(2, c.abandoned - 1), 300000) * (0.5 + random()) * interval '1 millisecond' END
    FROM open o LEFT JOIN counted c ON c.id = o.id WHERE coalesce(c.abandoned, 0) < $1::int ON CONFLICT DO NOTHING)
SELECT (SELECT count(*) FROM taken), (SELECT count(*) FROM open))sql"};

constexpr pg::Statement kUnregister{"unregister_instance", "DELETE FROM messaging._instance WHERE instance_id = $1::bigint"};

}  // namespace

void PgInstanceStore::register_instance(const std::string& name, const std::string& session_tag,
                                        core::Completion<core::InstanceId> done) {
    pg::Params params;
    params.text(name).text(session_tag);
    pg::run_steps<core::InstanceId>(
        listen_, {{&kListenReady, {}}, {&kListenDue, {}}, {&kListenControl, {}}, {&kRegister, std::move(params)}},
        std::move(done), [](const std::vector<pg::Rows>& rows) -> core::Result<core::InstanceId> {
            if (rows[3].boolean(0, 1)) return rows[3].bigint(0, 0);
            return core::Error{core::ErrorKind::kUnavailable, "the advisory lock (772, instance) is held by another session"};
        });
}

void PgInstanceStore::move_claims(core::InstanceId to, std::vector<core::ClaimId> claims,
                                  core::Completion<std::vector<core::ClaimId>> done) {
    pg::Params params;
    params.bigint(to).bigint_array(claims);
    pg::run_statement<std::vector<core::ClaimId>>(listen_, kMoveClaims, std::move(params), std::move(done),
                                                  [](const pg::Rows& rows) {
                                                      std::vector<core::ClaimId> moved;
                                                      moved.reserve(static_cast<std::size_t>(rows.size()));
                                                      for (int row = 0; row < rows.size(); ++row)
                                                          moved.push_back(rows.bigint(row, 0));
                                                      return moved;
                                                  });
}

void PgInstanceStore::heartbeat(core::InstanceId instance_id, int in_flight, engine::Xid floor, core::Completion<bool> done) {
    pg::Params params;
    params.bigint(instance_id).integer(in_flight).text(std::to_string(floor));
    pg::run_statement<bool>(listen_, kHeartbeat, std::move(params), std::move(done),
                            [](const pg::Rows& rows) { return rows.affected() > 0; });
}

void PgInstanceStore::read_state(core::Completion<bool> done) {
    pg::run_statement<bool>(listen_, kReadState, {}, std::move(done), [](const pg::Rows& rows) { return rows.boolean(0, 0); });
}

void PgInstanceStore::check_instances(core::InstanceId me, std::chrono::milliseconds silence,
                                      core::Completion<std::vector<engine::LivenessSample>> done) {
    pg::Params params;
    params.bigint(me).bigint(silence.count());
    pg::run_statement<std::vector<engine::LivenessSample>>(
        listen_, kCheckInstances, std::move(params), std::move(done), [](const pg::Rows& rows) {
            std::vector<engine::LivenessSample> samples;
            samples.reserve(static_cast<std::size_t>(rows.size()));
            for (int row = 0; row < rows.size(); ++row) {
                samples.push_back({rows.bigint(row, 0), rows.boolean(row, 1), rows.boolean(row, 2)});
            }
            return samples;
        });
}

void PgInstanceStore::end_sessions(std::vector<core::InstanceId> unresponsive, core::Completion<std::size_t> done) {
    pg::Params params;
    params.bigint_array(unresponsive);
    pg::run_statement<std::size_t>(listen_, kEndSessions, std::move(params), std::move(done),
                                   [](const pg::Rows& rows) { return static_cast<std::size_t>(rows.bigint(0, 0)); });
}

void PgInstanceStore::reclaim(core::InstanceId me, std::vector<core::InstanceId> failed, std::chrono::milliseconds delay,
                              bool counted, core::Completion<engine::Reclaimed> done) {
    pg::Params take;
    take.bigint(me).bigint_array(failed).integer(engine::kReclaimClaims);
    pg::Params reclaim;
    reclaim.integer(engine::kMaxAbandonments).bigint(delay.count()).boolean(counted);
    pg::run_steps<engine::Reclaimed>(listen_, {{&kTakeClaims, std::move(take)}, {&kReclaim, std::move(reclaim)}}, std::move(done),
                                     [](const std::vector<pg::Rows>& rows) {
                                         return engine::Reclaimed{static_cast<std::size_t>(rows[1].bigint(0, 0)),
                                                                  static_cast<std::size_t>(rows[1].bigint(0, 1))};
                                     });
}

void PgInstanceStore::unregister_instance(core::InstanceId instance_id, core::Completion<core::Unit> done) {
    pg::Params params;
    params.bigint(instance_id);
    pg::run_statement<core::Unit>(listen_, kUnregister, std::move(params), std::move(done), pg::nothing);
}

}  // namespace messaging::repository
