// Building the claim statements. Each claim is one statement, so that it is one round trip and one transaction.
#include "repository/claim_statements.h"

#include <string>

#include "engine/claim_store.h"

namespace messaging::repository {
namespace {

// What a claim does with each entry is decided here, in the database, because it costs no round trip and needs no row twice:
//   sent, or the row is gone   the entry goes, nothing else happens
//   no such endpoint           dead-lettered
//   attempts used up           dead-lettered: the CHECK on attempts allows one more record, not two
//   the endpoint is not active moved to the hold
//   everything else            into the ledger, and to the engine
// No expression here can raise an error on a row that the CHECKs of public.messages accept. DISTINCT: an id that stands twice in
// the queue is sent once. The DELETE goes by ctid: with USING or IN the planner chose a hash join over a sequential scan.
std::string claim_sql(const std::string& table, const std::string& pick, const std::string& more_columns,
                      const std::string& more_from) {
    return R"sql(
WITH control AS MATERIALIZED (SELECT state = 'running' AS running FROM messaging._state),
picked AS MATERIALIZED ()sql" +
           pick + R"sql(),
taken AS (
    DELETE FROM )sql" +
           table + R"sql( WHERE ctid = ANY (ARRAY(SELECT ctid FROM picked)) RETURNING id),
found AS MATERIALIZED (
    SELECT m.id, m.endpoint_id, m.attempts, m.generation, m.recipient, m.content, date_part('epoch', now() - m.created_at) AS age,
           CASE WHEN s.endpoint_id IS NULL THEN 'no such endpoint: ' || m.endpoint_id
                WHEN m.attempts >= 31999 THEN 'the attempts are used up'
                WHEN s.state <> 'active' THEN 'hold' END AS fate
    FROM (SELECT DISTINCT id FROM taken) t JOIN public.messages m ON m.id = t.id
    LEFT JOIN messaging._endpoint_state s ON s.endpoint_id = m.endpoint_id WHERE NOT m.is_sent),
held AS (
    INSERT INTO messaging._hold (id, endpoint_id) SELECT id, endpoint_id FROM found WHERE fate = 'hold' ON CONFLICT DO NOTHING),
dead AS (
    INSERT INTO messaging._dead (id, reason) SELECT id, fate FROM found WHERE fate <> 'hold' ON CONFLICT DO NOTHING),
ledger AS (
    INSERT INTO messaging._claim (claim_id, instance_id, ids, attempts, generations)
    SELECT $2::bigint, $1::bigint, array_agg(id ORDER BY id), array_agg(attempts ORDER BY id), array_agg(generation ORDER BY id)
    FROM found WHERE fate IS NULL HAVING count(*) > 0)
SELECT pg_current_snapshot()::text, (SELECT count(*) FROM taken), (SELECT running FROM control),
       (SELECT count(*) FROM found WHERE fate <> 'hold'),
       r.id, r.endpoint_id, r.attempts, r.generation, r.recipient, r.content, r.age, )sql" +
           more_columns + R"sql(
FROM (SELECT) one )sql" +
           more_from + R"sql( LEFT JOIN found r ON r.fate IS NULL ORDER BY r.id)sql";
}

const std::string kReadySql =
    claim_sql("messaging._queue", R"sql(
    SELECT ctid, xid, id FROM messaging._queue
    WHERE (xid, id) > ($5::text::xid8, $6::bigint) AND xid <= $7::text::xid8 AND ($4::bigint IS NULL OR id = $4::bigint) AND (SELECT running FROM control)
    ORDER BY xid, id LIMIT $3::int FOR UPDATE SKIP LOCKED)sql",
              "p.xid::text, p.id", "LEFT JOIN (SELECT xid, id FROM picked ORDER BY xid DESC, id DESC LIMIT 1) p ON true");

const std::string kDueSql = claim_sql("messaging._schedule", R"sql(
    SELECT ctid, due_at FROM messaging._schedule
    WHERE due_at >= 'epoch'::timestamptz + $5::bigint * interval '1 microsecond' AND due_at <= now() AND ($4::bigint IS NULL OR id = $4::bigint) AND (SELECT running FROM control)
    ORDER BY due_at, id LIMIT $3::int FOR UPDATE SKIP LOCKED)sql",
                                      R"sql(
       CASE WHEN (SELECT count(*) FROM taken) = $3::int THEN 0 ELSE (
           SELECT ceil(extract(epoch FROM due_at - now()) * 1000)::bigint FROM messaging._schedule
           WHERE due_at > now() ORDER BY due_at LIMIT 1) END,
       (extract(epoch FROM now()) * 1000000)::bigint,
       (SELECT (extract(epoch FROM max(due_at)) * 1000000)::bigint FROM picked))sql",
                                      "");

const pg::Statement kClaimReady{"claim_ready", kReadySql.c_str()};
const pg::Statement kClaimDue{"claim_due", kDueSql.c_str()};

constexpr pg::Statement kPeekReady{"peek_ready", R"sql(
SELECT id FROM messaging._queue WHERE (xid, id) > ($1::text::xid8, $2::bigint) AND xid <= $3::text::xid8
ORDER BY xid, id LIMIT 1)sql"};
constexpr pg::Statement kPeekDue{"peek_due", R"sql(
SELECT id FROM messaging._schedule
WHERE due_at >= 'epoch'::timestamptz + $1::bigint * interval '1 microsecond' AND due_at <= now() ORDER BY due_at, id LIMIT 1)sql"};

constexpr pg::Statement kDeadLetterReady{"dead_letter_ready", R"sql(
WITH taken AS (DELETE FROM messaging._queue WHERE xid >= '0'::xid8 AND id = $1::bigint RETURNING id)
INSERT INTO messaging._dead (id, reason) SELECT DISTINCT id, $2::text FROM taken ON CONFLICT DO NOTHING)sql"};
constexpr pg::Statement kDeadLetterDue{"dead_letter_due", R"sql(
WITH taken AS (DELETE FROM messaging._schedule WHERE id = $1::bigint RETURNING id)
INSERT INTO messaging._dead (id, reason) SELECT id, $2::text FROM taken ON CONFLICT DO NOTHING)sql"};

}  // namespace

const pg::Statement& claim_statement(engine::Source source) { return source == engine::Source::kReady ? kClaimReady : kClaimDue; }

const pg::Statement& peek_statement(engine::Source source) { return source == engine::Source::kReady ? kPeekReady : kPeekDue; }

const pg::Statement& dead_letter_statement(engine::Source source) {
    return source == engine::Source::kReady ? kDeadLetterReady : kDeadLetterDue;
}

}  // namespace messaging::repository
