// The text of the claim statements. Each claim is one statement, so it is one round trip and one transaction.
#include "repository/claim_statements.h"

#include <string>

#include "engine/claim_store.h"
#include "repository/time_text.h"

namespace messaging::repository {
namespace {

// The claim statement decides what happens to each entry, because this takes no further round trip and reads each row once:
//   sent, or its row is gone   deleted
//   no endpoint, or no event   dead-lettered: the message names one that does not exist
//   attempts >= 31999          dead-lettered: the CHECK allows 32000, and a failed attempt with a late success would exceed it
//   endpoint not active        moved to the hold; claims from the hold do so for disabled endpoints only
//   everything else            moved to the ledger, and answered to the engine
// No expression here can raise an error on a row that the CHECKs of public.messages accept. DISTINCT: an id that is twice in the
// queue is sent once. The DELETE uses ctid, because with USING or IN the planner chose a hash join over a sequential scan.
struct ClaimText {
    std::string table;
    std::string ctes{};  // before `pick`
    std::string pick;
    std::string kept_back;  // the states of endpoints whose messages are moved to the hold
    std::string more_columns;
    std::string more_from{};
};

// The body of the request: the data byte for byte. The type needs no escaping, by its CHECK.
std::string event_body(const std::string& id) {
    return R"(SELECT '{"type":"' || v.type || '","timestamp":"' || )" + rfc3339("v.created_at") +
           R"( || '","data":' || v.data || '}' FROM messaging.events v WHERE v.id = )" + id;
}

std::string claim_sql(const ClaimText& text) {
    return R"sql(
WITH control AS MATERIALIZED (SELECT state = 'running' AS running FROM messaging._state),)sql" +
           text.ctes + R"sql(
picked AS MATERIALIZED ()sql" +
           text.pick + R"sql(),
taken AS (
    DELETE FROM )sql" +
           text.table + R"sql( WHERE ctid = ANY (ARRAY(SELECT ctid FROM picked)) RETURNING id),
found AS MATERIALIZED (
    SELECT m.id, m.endpoint_id, m.attempts, m.generation, m.recipient, m.event_id IS NOT NULL AS is_event,
           CASE WHEN m.event_id IS NULL THEN m.content ELSE ()sql" +
           event_body("m.event_id") + R"sql() END AS content, date_part('epoch', now() - m.created_at) AS age, s.version,
           CASE WHEN s.endpoint_id IS NULL THEN 'no such endpoint: ' || m.endpoint_id
                WHEN m.event_id IS NOT NULL AND NOT EXISTS (SELECT FROM messaging.events v WHERE v.id = m.event_id) THEN
                    'its event was deleted: ' || m.event_id
                WHEN m.attempts >= 31999 THEN 'attempts is 31999 or more, and the service counts no further'
                WHEN s.state IN ()sql" +
           text.kept_back + R"sql() THEN 'hold' END AS fate
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
       r.id, r.endpoint_id, r.attempts, r.generation, r.recipient, r.content, r.age, r.is_event, r.version, )sql" +
           text.more_columns + R"sql(
FROM (SELECT) one )sql" +
           text.more_from + R"sql( LEFT JOIN found r ON r.fate IS NULL ORDER BY r.id)sql";
}

// Endpoints with messages in the hold. An endpoint that became active within the last 10 s counts: a claim that had read its
// older state may still have moved a message to the hold.
const std::string kIsHeld = "(state IN ('backlogged', 'failing') OR state = 'active' AND since > now() - interval '10 seconds')";

const std::string kReadySql =
    claim_sql({.table = "messaging._queue",
               .pick = R"sql(
    SELECT ctid, xid, id FROM messaging._queue
    WHERE (xid, id) > ($5::text::xid8, $6::bigint) AND xid <= $7::text::xid8 AND ($4::bigint IS NULL OR id = $4::bigint) AND (SELECT running FROM control)
    ORDER BY xid, id LIMIT $3::int FOR UPDATE SKIP LOCKED)sql",
               .kept_back = "'backlogged', 'failing', 'disabled'",
               .more_columns = "p.xid::text, p.id, EXISTS (SELECT FROM found WHERE fate = 'hold')",
               .more_from = "LEFT JOIN (SELECT xid, id FROM picked ORDER BY xid DESC, id DESC LIMIT 1) p ON true"});

const std::string kDueSql = claim_sql({.table = "messaging._schedule",
                                       .pick = R"sql(
    SELECT ctid, due_at FROM messaging._schedule
    WHERE due_at >= 'epoch'::timestamptz + $5::bigint * interval '1 microsecond' AND due_at <= now() AND ($4::bigint IS NULL OR id = $4::bigint) AND (SELECT running FROM control)
    ORDER BY due_at, id + 0 LIMIT $3::int FOR UPDATE SKIP LOCKED)sql",
                                       .kept_back = "'backlogged', 'failing', 'disabled'",
                                       .more_columns = R"sql(
       CASE WHEN (SELECT count(*) FROM taken) = $3::int THEN 0 ELSE (
           SELECT ceil(extract(epoch FROM due_at - now()) * 1000)::bigint FROM messaging._schedule
           WHERE due_at > now() ORDER BY due_at LIMIT 1) END,
       (extract(epoch FROM now()) * 1000000)::bigint,
       (SELECT (extract(epoch FROM max(due_at)) * 1000000)::bigint FROM picked),
       EXISTS (SELECT FROM messaging._endpoint_state WHERE )sql" +
                                                       kIsHeld + ")"});

// The endpoints that can take held messages, and their capacities. Parameters from $`first` on:
//   +0  endpoints with a known capacity; of several, the smallest one counts
//   +1  their capacities
//   +2  whether the newest of the endpoint's messages come first: 0 or 1
//   +3  the capacity of every other endpoint
//   +4  start behind this endpoint id and wrap around, so that the limit does not always cut off the same endpoints
// Grouped, because a look-up of each endpoint in the array would cost the square of their number. The row without a capacity is
// the endpoint's state.
std::string wanted(int first) {
    const auto parameter = [first](int number, const char* type) { return "$" + std::to_string(first + number) + "::" + type; };
    return "wanted AS MATERIALIZED (SELECT * FROM (SELECT endpoint_id, coalesce(min(capacity), " + parameter(3, "int") +
           ") AS capacity, coalesce(max(newest), 0) = 1 AS newest FROM (SELECT endpoint_id, NULL::int AS capacity, NULL::int AS "
           "newest"
           " FROM messaging._endpoint_state WHERE " +
           kIsHeld + " UNION ALL SELECT * FROM unnest(" + parameter(0, "bigint[]") + ", " + parameter(1, "int[]") + ", " +
           parameter(2, "int[]") +
           ")) r GROUP BY endpoint_id HAVING count(*) > count(capacity)) s WHERE capacity > 0 ORDER BY endpoint_id <= " +
           parameter(4, "bigint") + ", endpoint_id)";
}

// An endpoint's held messages, the oldest or the newest first. Two scans of one index, of which one has the limit 0.
std::string held_of_wanted(const std::string& column, const std::string& condition, const std::string& capacity,
                           const std::string& lock) {
    const auto scan = [&](const std::string& order, const std::string& limit) {
        return "SELECT * FROM (SELECT " + column + " FROM messaging._hold WHERE endpoint_id = w.endpoint_id " + condition +
               " ORDER BY id + 0" + order + " LIMIT " + limit + " " + lock + ") scanned";
    };
    return scan("", "CASE WHEN w.newest THEN 0 ELSE " + capacity + " END") + " UNION ALL " +
           scan(" DESC", "CASE WHEN w.newest THEN " + capacity + " ELSE 0 END");
}

// `free` sets endpoints active that have been backlogged for a second and have no messages in the hold. The trigger on
// _endpoint_state checks the hold again.
const std::string kHeldSql = claim_sql(
    {.table = "messaging._hold",
     .ctes = wanted(5) + R"sql(,
free AS (
    UPDATE messaging._endpoint_state SET state = 'active' WHERE endpoint_id IN (
        SELECT s.endpoint_id FROM messaging._endpoint_state s JOIN wanted w ON w.endpoint_id = s.endpoint_id
        WHERE s.state = 'backlogged' AND s.since < now() - interval '1 second' AND (SELECT running FROM control)
          AND NOT EXISTS (SELECT FROM messaging._hold h WHERE h.endpoint_id = s.endpoint_id)
        FOR UPDATE OF s SKIP LOCKED)),)sql",
     .pick = R"sql(
    SELECT h.ctid FROM wanted w CROSS JOIN LATERAL ()sql" +
             held_of_wanted("ctid", "AND ($4::bigint IS NULL OR id = $4::bigint)", "w.capacity", "FOR UPDATE SKIP LOCKED") +
             R"sql() h WHERE (SELECT running FROM control) LIMIT $3::int)sql",
     .kept_back = "'disabled'",
     .more_columns = "NULL"});

const pg::Statement kClaimReady{"claim_ready", kReadySql.c_str()};
const pg::Statement kClaimDue{"claim_due", kDueSql.c_str()};
const pg::Statement kClaimHeld{"claim_held", kHeldSql.c_str()};

constexpr pg::Statement kPeekReady{"peek_ready", R"sql(
SELECT id FROM messaging._queue WHERE (xid, id) > ($1::text::xid8, $2::bigint) AND xid <= $3::text::xid8
ORDER BY xid, id LIMIT 1)sql"};
constexpr pg::Statement kPeekDue{"peek_due", R"sql(
SELECT id FROM messaging._schedule
WHERE due_at >= 'epoch'::timestamptz + $1::bigint * interval '1 microsecond' AND due_at <= now() ORDER BY due_at, id + 0 LIMIT 1)sql"};

const std::string kPeekHeldSql =
    "WITH " + wanted(1) + "SELECT h.id FROM wanted w CROSS JOIN LATERAL (" + held_of_wanted("id", "", "1", "") + ") h LIMIT 1";
const pg::Statement kPeekHeld{"peek_held", kPeekHeldSql.c_str()};

constexpr pg::Statement kDeadLetterReady{"dead_letter_ready", R"sql(
WITH taken AS (DELETE FROM messaging._queue WHERE xid >= '0'::xid8 AND id = $1::bigint RETURNING id)
INSERT INTO messaging._dead (id, reason) SELECT DISTINCT id, $2::text FROM taken ON CONFLICT DO NOTHING)sql"};
constexpr pg::Statement kDeadLetterDue{"dead_letter_due", R"sql(
WITH taken AS (DELETE FROM messaging._schedule WHERE id = $1::bigint RETURNING id)
INSERT INTO messaging._dead (id, reason) SELECT id, $2::text FROM taken ON CONFLICT DO NOTHING)sql"};
constexpr pg::Statement kDeadLetterHeld{"dead_letter_held", R"sql(
WITH taken AS (DELETE FROM messaging._hold WHERE id = $1::bigint RETURNING id)
INSERT INTO messaging._dead (id, reason) SELECT id, $2::text FROM taken ON CONFLICT DO NOTHING)sql"};

struct SourceStatements {
    const pg::Statement& claim;
    const pg::Statement& peek;
    const pg::Statement& dead_letter;
};

const SourceStatements& statements_of(engine::Source source) {
    static const SourceStatements ready{kClaimReady, kPeekReady, kDeadLetterReady};
    static const SourceStatements due{kClaimDue, kPeekDue, kDeadLetterDue};
    static const SourceStatements held{kClaimHeld, kPeekHeld, kDeadLetterHeld};
    switch (source) {
        case engine::Source::kReady: return ready;
        case engine::Source::kDue: return due;
        case engine::Source::kHeld: break;
    }
    return held;
}

}  // namespace

const pg::Statement& claim_statement(engine::Source source) { return statements_of(source).claim; }

const pg::Statement& peek_statement(engine::Source source) { return statements_of(source).peek; }

const pg::Statement& dead_letter_statement(engine::Source source) { return statements_of(source).dead_letter; }

}  // namespace messaging::repository
