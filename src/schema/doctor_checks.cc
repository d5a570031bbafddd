// The statements. Each answers a row for a finding, at most ten, and can be run by hand in psql.
#include "schema/doctor_checks.h"

namespace messaging::schema {
namespace {

constexpr const char* kServer = R"sql(
SELECT 'error', 'the database''s encoding is ' || current_setting('server_encoding') || ', and webhooks carry UTF-8',
       'use a database that was created with createdb -T template0 -E UTF8'
WHERE current_setting('server_encoding') <> 'UTF8'
UNION ALL
SELECT 'error', 'PostgreSQL ' || current_setting('server_version') || ' is too old', 'use PostgreSQL 13 or later'
WHERE current_setting('server_version_num')::int < 130000
UNION ALL
SELECT 'error', 'this server is a standby: it accepts no writes', 'name the primary in DATABASE_URL, or add target_session_attrs=read-write'
WHERE pg_is_in_recovery()
UNION ALL
SELECT 'error', 'default_transaction_read_only is on for this role or database: nothing can be claimed or recorded',
       format('ALTER ROLE %I RESET default_transaction_read_only, ALTER DATABASE %I RESET default_transaction_read_only', current_user, current_database())
WHERE current_setting('default_transaction_read_only')::boolean
UNION ALL
SELECT 'ok', format('PostgreSQL %s, UTF8, database %s, role %s', current_setting('server_version'), current_database(), current_user), '')sql";

constexpr const char* kDurability = R"sql(
SELECT 'warning', name || ' is off: a crash of the server loses or damages committed messages', format('ALTER SYSTEM RESET %s', name)
FROM unnest(ARRAY['fsync', 'full_page_writes']) AS name WHERE current_setting(name) = 'off'
UNION ALL
SELECT 'warning', 'synchronous_commit is off for this role or database: a crash of the server loses what was recorded last, so that it is sent again',
       format('ALTER ROLE %I RESET synchronous_commit', current_user)
WHERE current_setting('synchronous_commit') = 'off')sql";

constexpr const char* kPublicRights = R"sql(
SELECT 'error', 'every role may execute ' || oid::regprocedure, 'REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA messaging FROM PUBLIC'
FROM pg_proc WHERE pronamespace = 'messaging'::regnamespace AND has_function_privilege('public', oid, 'EXECUTE')
UNION ALL
SELECT 'error', format('every role has %s on %s', a.privilege_type, c.oid::regclass), format('REVOKE ALL ON %s FROM PUBLIC', c.oid::regclass)
FROM pg_class c, aclexplode(c.relacl) a WHERE c.relnamespace = 'messaging'::regnamespace AND a.grantee = 0
LIMIT 10)sql";

constexpr const char* kRowSecurity = R"sql(
SELECT 'error', format('row-level security hides rows of %s from the role %I', oid::regclass, current_user),
       format('ALTER ROLE %I BYPASSRLS, or run the service as the owner of the table', current_user)
FROM pg_class WHERE (relnamespace = 'messaging'::regnamespace OR oid = 'public.messages'::regclass) AND relkind IN ('r', 'p')
  AND row_security_active(oid)
LIMIT 10)sql";

// tgtype has a bit each for row, before, insert, delete, update, truncate.
constexpr const char* kTriggers = R"sql(
WITH expected (relation, name, function, type, always) AS (VALUES
    ('public.messages', 'messaging_insert', 'messaging._on_insert', 4, false),
    ('public.messages', 'messaging_insert_sent', 'messaging._on_insert_sent', 1 + 4, false),
    ('public.messages', 'zz_messaging_1_keep', 'messaging._on_update', 1 + 2 + 16, false),
    ('public.messages', 'zz_messaging_2_send_again', 'messaging._on_update', 1 + 2 + 16, false),
    ('public.messages', 'messaging_delete', 'messaging._on_delete', 8, false),
    ('public.messages', 'messaging_truncate', 'messaging._on_truncate', 32, false),
    ('messaging.events', 'messaging_event', 'messaging._on_event_insert', 4, false),
    ('messaging._state', 'state_changed', 'messaging._on_control_change', 16, false),
    ('messaging.endpoints', 'endpoints_changed', 'messaging._on_control_change', 4 + 8 + 16, false),
    ('messaging._endpoint_secret', 'endpoint_secret_changed', 'messaging._on_secret_change', 1 + 4 + 8 + 16, false),
    ('messaging.endpoints', 'endpoints_check', 'messaging._check_endpoint', 1 + 2 + 4 + 16, false),
    ('messaging.endpoints', 'endpoints_state', 'messaging._on_endpoint_change', 1 + 4 + 8 + 16, true),
    ('messaging.endpoints', 'endpoints_keep_id', 'messaging._keep_endpoint_id', 1 + 2 + 16, false),
    ('messaging.endpoints', 'endpoints_truncated', 'messaging._on_endpoint_change', 32, true),
    ('messaging._endpoint_state', 'endpoint_found', 'messaging._on_endpoint_found', 1 + 16, false),
    ('messaging._dead', 'message_dead', 'messaging._on_dead', 1 + 4, false),
    ('messaging._endpoint_state', 'endpoint_state_changed', 'messaging._on_endpoint_state_change', 1 + 2 + 16, false)),
compared AS (
    SELECT e.relation, e.name, e.always, t.tgenabled, t.tgfoid = to_regproc(e.function) AND t.tgtype = e.type AS same
    FROM expected e LEFT JOIN pg_trigger t ON t.tgrelid = to_regclass(e.relation) AND t.tgname = e.name AND NOT t.tgisinternal)
SELECT 'error', format('the trigger %s on %s is %s', name, relation,
                       CASE WHEN tgenabled IS NULL THEN 'missing' WHEN NOT same THEN 'not the one of this version'
                            WHEN tgenabled = 'O' THEN 'not fired by rows that replication or a restore brings' ELSE 'disabled' END),
       CASE WHEN same THEN format('ALTER TABLE %s ENABLE %sTRIGGER %s', relation, CASE WHEN always THEN 'ALWAYS ' END, name)
            ELSE 'DELETE FROM messaging._function_file, and then `messaging migrate up`' END
FROM compared WHERE tgenabled IS NULL OR NOT same OR tgenabled NOT IN ('O', 'A') OR always AND tgenabled <> 'A'
UNION ALL
SELECT 'warning', format('the trigger %I fires after ours: a message that it makes unsent is sent only when reconcile finds it', tgname),
       format('ALTER TRIGGER %I ON messages RENAME TO a name that sorts before zz_messaging', tgname)
FROM pg_trigger WHERE tgrelid = 'public.messages'::regclass AND NOT tgisinternal AND tgenabled IN ('O', 'A')
  AND tgtype & 19 = 19 AND tgname > 'zz_messaging_2_send_again'
UNION ALL
SELECT 'warning', format('the trigger %I calls %s, which relies on the search_path of whoever changes a message; ours is pg_catalog', tgname,
                         tgfoid::regprocedure),
       format('ALTER FUNCTION %s SET search_path = public', tgfoid::regprocedure)
FROM pg_trigger t JOIN pg_proc p ON p.oid = tgfoid JOIN pg_language l ON l.oid = prolang
WHERE tgrelid = 'public.messages'::regclass AND NOT tgisinternal AND tgenabled IN ('O', 'A') AND pronamespace <> 'messaging'::regnamespace
  AND lanname NOT IN ('c', 'internal')
  AND NOT EXISTS (SELECT FROM unnest(proconfig) AS setting WHERE setting LIKE 'search_path=%')
UNION ALL
SELECT 'error', 'session_replication_role = replica is set' || coalesce(' for the role ' || setrole::regrole, '') ||
       ': its sessions fire no trigger, so their messages are sent only when reconcile finds them, and their events become no messages',
       'ALTER ROLE … or ALTER DATABASE … RESET session_replication_role'
FROM (SELECT nullif(setrole, 0) AS setrole, setdatabase, unnest(setconfig) AS setting FROM pg_db_role_setting) s
WHERE setting = 'session_replication_role=replica'
  AND setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
UNION ALL
SELECT 'warning', 'a subscription writes to messages: replicated rows fire no trigger, and are sent when reconcile finds them',
       'expect up to 15 seconds, or more than that for old ids'
FROM pg_subscription_rel WHERE srrelid = 'public.messages'::regclass
UNION ALL
SELECT 'error', 'a subscription writes to messaging.events and none to messages: replicated rows fire no trigger, so these events are sent to nobody',
       'ALTER TABLE messaging.events ENABLE ALWAYS TRIGGER messaging_event'
FROM pg_trigger WHERE tgrelid = 'messaging.events'::regclass AND tgname = 'messaging_event' AND tgenabled <> 'A'
  AND EXISTS (SELECT FROM pg_subscription_rel WHERE srrelid = 'messaging.events'::regclass)
  AND NOT EXISTS (SELECT FROM pg_subscription_rel WHERE srrelid = 'public.messages'::regclass)
LIMIT 10)sql";

// $1: seconds. Each round moves next_tail or next_round on.
constexpr const char* kReconcile = R"sql(
SELECT 'warning', format('reconcile has checked no message since %s', to_char(next_tail - interval '15 s', 'YYYY-MM-DD HH24:MI:SS')),
       'start `messaging serve`; if it is running, look for "reconcile" in its log'
FROM messaging._reconcile WHERE next_tail < now() - $1::bigint * interval '1 s'
UNION ALL
SELECT 'warning', format('the walk of reconcile over all messages has been under way since %s; the last one took %s',
                         to_char(walk_began, 'YYYY-MM-DD HH24:MI:SS'), coalesce(date_trunc('second', walk_took)::text, 'unknown')),
       'a message that is lost is found when the walk reaches it; look for "reconcile" in the log'
FROM messaging._reconcile WHERE walked_to > 0 AND walk_began < now() - greatest(interval '1 day', 3 * walk_took)
UNION ALL
SELECT 'ok', CASE WHEN walk_took IS NULL THEN 'the first walk over all messages is not finished'
                  ELSE format('the last walk over all messages took %s', date_trunc('second', walk_took)) END, ''
FROM messaging._reconcile)sql";

// $1: seconds.
constexpr const char* kInstances = R"sql(
SELECT 'warning', format('the service is stopped since %s by %s: nothing is sent', to_char(since, 'YYYY-MM-DD HH24:MI:SS'), by), 'POST /start'
FROM messaging._state WHERE state = 'stopped'
UNION ALL
SELECT 'warning', format('no instance is running: %s message(s) and %s claim(s) wait',
                         (SELECT count(*) FROM (SELECT FROM messaging._queue LIMIT 1000000) q), (SELECT count(*) FROM messaging._claim)),
       'start `messaging serve`'
WHERE NOT EXISTS (SELECT FROM messaging._instance WHERE abs(extract(epoch FROM now() - last_seen)) < $1::bigint)
UNION ALL
SELECT * FROM (
    SELECT 'warning', CASE WHEN last_seen > now() THEN format('instance %s (%s) was last seen %s ahead of the clock', instance_id, name, date_trunc('second', last_seen - now()))
                           ELSE format('instance %s (%s) was last seen %s ago', instance_id, name, date_trunc('second', now() - last_seen)) END,
           'a running instance reclaims its messages within seconds; if one is running and this stays, look for "instances" in its process''s log'
    FROM messaging._instance WHERE abs(extract(epoch FROM now() - last_seen)) > $1::bigint ORDER BY last_seen LIMIT 10) gone
UNION ALL
(SELECT DISTINCT 'warning', format('an instance runs as the role %s: others cannot end its sessions when it hangs', usename),
        'let all processes use one role, or GRANT pg_signal_backend to each'
 FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'messaging listen%'
   AND NOT pg_has_role(usesysid, 'MEMBER') AND NOT pg_has_role('pg_signal_backend', 'MEMBER') LIMIT 10)
UNION ALL
SELECT 'ok', format('%s instance(s) running', count(*)), '' FROM messaging._instance)sql";

constexpr const char* kEndpoints = R"sql(
SELECT * FROM (
    SELECT 'error', format('endpoint %s (%s) has no state: its messages are dead-lettered', id, name),
           format('INSERT INTO messaging._endpoint_state (endpoint_id) VALUES (%s)', id)
    FROM messaging.endpoints e WHERE NOT EXISTS (SELECT FROM messaging._endpoint_state s WHERE s.endpoint_id = e.id) LIMIT 10) stateless
UNION ALL
SELECT * FROM (
    SELECT 'error', format('there is a state of endpoint %s, which does not exist: its messages are claimed and postponed again and again', endpoint_id),
           format('DELETE FROM messaging._endpoint_state WHERE endpoint_id = %s', endpoint_id)
    FROM messaging._endpoint_state s WHERE NOT EXISTS (SELECT FROM messaging.endpoints e WHERE e.id = s.endpoint_id) LIMIT 10) orphaned
UNION ALL
SELECT 'error', 'endpoint 1 does not exist: messages that name no endpoint are dead-lettered',
       'INSERT INTO messaging.endpoints (id, name, url, signing) OVERRIDING SYSTEM VALUE VALUES (1, ''default'', …, ''none'')'
WHERE NOT EXISTS (SELECT FROM messaging.endpoints WHERE id = 1)
UNION ALL
SELECT 'warning', 'no endpoint is named default: WEBHOOK_URL is not used', 'UPDATE messaging.endpoints SET name = ''default'' WHERE id = 1'
WHERE EXISTS (SELECT FROM messaging.endpoints WHERE id = 1) AND NOT EXISTS (SELECT FROM messaging.endpoints WHERE name = 'default')
UNION ALL
SELECT * FROM (
    SELECT 'warning', format('%s unsent message(s) are for endpoint %s, which does not exist', count(*), m.endpoint_id),
           'they are dead-lettered at their claim; send them again once the endpoint is there'
    FROM (SELECT id FROM messaging._queue UNION SELECT id FROM messaging._schedule UNION SELECT id FROM messaging._hold) p
    JOIN public.messages m ON m.id = p.id AND NOT m.is_sent
    WHERE NOT EXISTS (SELECT FROM messaging.endpoints e WHERE e.id = m.endpoint_id) GROUP BY m.endpoint_id LIMIT 10) unknown
UNION ALL
SELECT 'warning', format('%s message(s) were dead-lettered because their endpoint did not exist', count(*)),
       'SELECT m.* FROM public.messages m JOIN messaging._dead d ON d.id = m.id WHERE d.reason LIKE ''no such endpoint%'''
FROM messaging._dead WHERE reason LIKE 'no such endpoint%' HAVING count(*) > 0
UNION ALL
SELECT 'warning', format('%s secret(s) of endpoints are stored unsealed, and %s sealed', count(*) - sealed, sealed),
       'look for a trigger or a lock on messaging._endpoint_secret: each process that has SECRETS_KEY seals them when it reads the endpoints'
FROM (SELECT secret, count(*) FILTER (WHERE secret LIKE 'sealed:%') OVER () AS sealed FROM messaging._endpoint_secret) s
GROUP BY sealed HAVING sealed > 0 AND sealed < count(*)
UNION ALL
SELECT 'ok', format('%s endpoint(s), %s of them active', count(*), count(*) FILTER (WHERE state = 'active')), ''
FROM messaging._endpoint_state)sql";

// $1, $2: seconds. Other databases' snapshots do not keep vacuum from removing rows of this one.
constexpr const char* kTransactions = R"sql(
SELECT * FROM (
    SELECT CASE WHEN xact_start < now() - $2::bigint * interval '1 s' THEN 'error' ELSE 'warning' END,
           format('session %s (%s, role %s, %s) has been in one transaction for %s: vacuum removes nothing that was deleted since', pid,
                  coalesce(nullif(application_name, ''), 'unnamed'), usename, state, date_trunc('second', now() - xact_start)),
           format('SELECT pg_terminate_backend(%s)', pid)
    FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type <> 'autovacuum worker'
      AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL OR state LIKE 'idle in transaction%')
      AND xact_start < now() - $1::bigint * interval '1 s'
    ORDER BY xact_start LIMIT 10) old
UNION ALL
SELECT 'warning', 'the role does not see what other roles'' sessions do', format('GRANT pg_read_all_stats TO %I', current_user)
WHERE NOT pg_has_role('pg_read_all_stats', 'USAGE')
UNION ALL
SELECT 'warning', 'track_activities is off: transactions that stay open are not to be seen', 'ALTER SYSTEM RESET track_activities'
WHERE current_setting('track_activities') = 'off')sql";

// $1, $2: seconds.
constexpr const char* kPrepared = R"sql(
SELECT CASE WHEN prepared < now() - $2::bigint * interval '1 s' THEN 'error' ELSE 'warning' END,
       format('the prepared transaction %L of %s has been open for %s: vacuum removes nothing that was deleted since, and unless it set '
              'messaging.notify = ''off'', no engine can sleep', gid, owner, date_trunc('second', now() - prepared)),
       format('COMMIT PREPARED %L, or ROLLBACK PREPARED %L', gid, gid)
FROM pg_prepared_xacts WHERE database = current_database() AND prepared < now() - $1::bigint * interval '1 s'
ORDER BY prepared LIMIT 10)sql";

// $1: bytes. pg_stat_replication tells a role without pg_read_all_stats nothing.
constexpr const char* kReplication = R"sql(
SELECT * FROM (
    SELECT CASE WHEN xmin IS NULL THEN 'warning' ELSE 'error' END,
           format('nobody uses the replication slot %s, which keeps %s of WAL%s', slot_name, pg_size_pretty(kept),
                  CASE WHEN xmin IS NOT NULL THEN ' and every row that was deleted since' END),
           format('start its standby or subscriber again, or SELECT pg_drop_replication_slot(%L)', slot_name)
    FROM (SELECT slot_name, active, xmin, pg_wal_lsn_diff(
              CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, restart_lsn) AS kept
          FROM pg_replication_slots) s
    WHERE NOT active AND (xmin IS NOT NULL OR kept > $1::bigint) LIMIT 10) slots
UNION ALL
SELECT 'error', 'each commit waits for a synchronous standby (synchronous_standby_names), and none is connected: nothing can be recorded',
       'start the standby, or ALTER SYSTEM RESET synchronous_standby_names and SELECT pg_reload_conf()'
WHERE current_setting('synchronous_standby_names') <> '' AND current_setting('synchronous_commit') NOT IN ('off', 'local')
  AND pg_has_role('pg_read_all_stats', 'USAGE') AND NOT EXISTS (SELECT FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum'))
UNION ALL
SELECT * FROM (
    SELECT 'warning', format('the standby %s (pid %s) has an old snapshot (hot_standby_feedback): vacuum removes nothing that was deleted since',
                             coalesce(nullif(application_name, ''), 'unnamed'), pid),
           'end the long queries of the standby'
    FROM pg_stat_replication WHERE age(backend_xmin) > 10000000 LIMIT 10) feedback)sql";

// $1: how many a process opens.
constexpr const char* kConnections = R"sql(
WITH free AS (
    SELECT 'of the server (max_connections)' AS what,
           current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
               - coalesce(current_setting('reserved_connections', true)::int, 0) - count(datname) AS count
    FROM pg_stat_activity
    UNION ALL
    SELECT format('of the database %I (CONNECTION LIMIT)', d.datname), datconnlimit - (SELECT count(*) FROM pg_stat_activity a WHERE a.datid = d.oid)
    FROM pg_database d WHERE d.datname = current_database() AND datconnlimit >= 0
    UNION ALL
    SELECT format('of the role %I (CONNECTION LIMIT)', rolname), rolconnlimit - (SELECT count(*) FROM pg_stat_activity a WHERE a.usesysid = r.oid)
    FROM pg_roles r WHERE rolname = current_user AND rolconnlimit >= 0)
SELECT 'warning', format('%s connection(s) %s are free, and one more process opens %s', greatest(count, 0), what, $1::int), 'raise the limit, or end sessions'
FROM free WHERE count < $1::int
UNION ALL
SELECT 'ok', format('%s connections are free', min(count)), '' FROM free)sql";

// $1: rows.
constexpr const char* kVacuum = R"sql(
SELECT 'warning', format('messaging.%s has %s dead rows beside %s others; last vacuum: %s%s', relname, n_dead_tup, n_live_tup,
                         coalesce(to_char(last, 'YYYY-MM-DD HH24:MI:SS'), 'never'), CASE WHEN running THEN ', and one is running' END),
       format('end what the checks of transactions and replication name; otherwise VACUUM messaging.%s', relname)
FROM (SELECT relname, n_dead_tup, n_live_tup, greatest(last_autovacuum, last_vacuum) AS last,
             EXISTS (SELECT FROM pg_stat_progress_vacuum v WHERE v.relid = t.relid) AS running
      FROM pg_stat_user_tables t WHERE schemaname = 'messaging' AND relname IN ('_queue', '_schedule', '_hold', '_claim')) t
WHERE n_dead_tup > 10 * $1::bigint OR (n_dead_tup > $1::bigint AND (last < now() - interval '10 min') IS NOT FALSE)
UNION ALL
SELECT 'error', format('%s is off: dead rows of the queue are never removed, and claims become slower and slower', name),
       format('ALTER SYSTEM RESET %s, and SELECT pg_reload_conf()', name)
FROM unnest(ARRAY['autovacuum', 'track_counts']) AS name WHERE current_setting(name) = 'off'
UNION ALL
SELECT * FROM (
    SELECT 'error', format('autovacuum is disabled for %s', oid::regclass), format('ALTER TABLE %s RESET (autovacuum_enabled)', oid::regclass)
    FROM pg_class, pg_options_to_table(reloptions)
    WHERE (relnamespace = 'messaging'::regnamespace OR oid = 'public.messages'::regclass)
      AND option_name = 'autovacuum_enabled' AND NOT option_value::boolean LIMIT 10) disabled)sql";

// $1: transactions, of the 2,147,483,647 there are.
constexpr const char* kWraparound = R"sql(
SELECT CASE WHEN used > 1.8 * $1::bigint THEN 'error' ELSE 'warning' END,
       format('the database %I has used %s %% of the %s before PostgreSQL refuses to write', datname, round(100.0 * used / 2147483647), what),
       'find what keeps vacuum from freezing (see transactions and replication), and then VACUUM (FREEZE) the tables with the highest age(relfrozenxid)'
FROM (SELECT datname, age(datfrozenxid) AS used, 'transaction numbers' AS what FROM pg_database
      UNION ALL SELECT datname, mxid_age(datminmxid), 'multixact numbers' FROM pg_database) ages
WHERE used > $1::bigint ORDER BY used DESC LIMIT 10)sql";

// A sequence behind the ids: the next inserts fail. A single huge id far off does no harm. The statement's snapshot is older than
// the values of the sequences, so that an insert in between is no finding.
constexpr const char* kSequences = R"sql(
WITH taken (relation, key, sequence, ids) AS (VALUES
    ('public.messages', 'id', pg_get_serial_sequence('public.messages', 'id'), NULL::bigint[]),
    ('messaging.events', 'id', pg_get_serial_sequence('messaging.events', 'id'), NULL),
    ('messaging.endpoints', 'id', pg_get_serial_sequence('messaging.endpoints', 'id'), ARRAY(SELECT id FROM messaging.endpoints)),
    ('messaging._instance', 'instance_id', pg_get_serial_sequence('messaging._instance', 'instance_id'),
     ARRAY(SELECT instance_id FROM messaging._instance)),
    ('messaging._replay', 'id', pg_get_serial_sequence('messaging._replay', 'id'), ARRAY(SELECT id FROM messaging._replay)),
    ('messaging._sent_batch', 'batch_id', pg_get_serial_sequence('messaging._sent_batch', 'batch_id'), NULL)),
reached AS (
    SELECT t.*, coalesce(pg_sequence_last_value(sequence::regclass), 0) AS last FROM taken t
    WHERE has_sequence_privilege(sequence, 'USAGE, SELECT')),
collisions AS (
    SELECT r.*, CASE relation WHEN 'public.messages' THEN (SELECT min(id) FROM public.messages WHERE id > last)
                              WHEN 'messaging.events' THEN (SELECT min(id) FROM messaging.events WHERE id > last)
                              WHEN 'messaging._sent_batch' THEN (SELECT min(batch_id) FROM messaging._sent_batch WHERE batch_id > last)
                              ELSE (SELECT min(id) FROM unnest(ids) id WHERE id > last) END AS next
    FROM reached r)
SELECT 'error', format('the sequence of %s is at %s, and %s %s exists: inserts will fail when they reach it', relation, last, key, next),
       format('SELECT setval(%L, (SELECT max(%s) FROM %s WHERE %s < %s))', sequence, key, relation, key, next + 1000000)
FROM collisions WHERE next < last + 1000000)sql";

pg::Params seconds(std::chrono::seconds first) {
    pg::Params params;
    params.bigint(first.count());
    return params;
}

pg::Params seconds(std::chrono::seconds first, std::chrono::seconds second) {
    pg::Params params;
    params.bigint(first.count()).bigint(second.count());
    return params;
}

pg::Params number(std::int64_t value) {
    pg::Params params;
    params.bigint(value);
    return params;
}

}  // namespace

std::vector<SqlCheck> server_checks() {
    return {{"server", "", kServer, {}}, {"durability", "commits reach the disk", kDurability, {}}};
}

std::vector<SqlCheck> schema_checks(const DoctorLimits& limits) {
    return {
        {"public rights", "a role without grants can do nothing", kPublicRights, {}},
        {"row security", "every row is visible", kRowSecurity, {}},
        {"triggers", "all there, and enabled", kTriggers, {}},
        {"endpoints", "", kEndpoints, {}},
        {"instances", "", kInstances, seconds(limits.instance_silence)},
        {"reconcile", "", kReconcile, seconds(limits.reconcile_silence)},
        {"transactions", "none is old", kTransactions, seconds(limits.long_transaction, limits.stuck_transaction)},
        {"prepared transactions", "none is old", kPrepared, seconds(limits.long_transaction, limits.stuck_transaction)},
        {"replication", "nothing stands still", kReplication, number(limits.retained_wal_bytes)},
        {"connections", "", kConnections, number(limits.process_sessions)},
        {"vacuum", "the queue's tables are clean", kVacuum, number(limits.dead_rows)},
        {"wraparound", "far off", kWraparound, number(limits.xid_age)},
        {"sequences", "ahead of the ids", kSequences, {}},
    };
}

}  // namespace messaging::schema
