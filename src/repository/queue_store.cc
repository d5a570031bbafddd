// The claim statements. Each is one statement, so that a claim is one round trip and one transaction.
#include "repository/queue_store.h"

#include "core/json.h"
#include "repository/unit.h"

namespace messaging::repository {
namespace {

// The DELETE goes by ctid: with USING or IN the planner chose a hash join over a sequential scan. The ledger holds only what
// is still to be sent; what is gone or sent already leaves the queue and nothing else happens.
constexpr pg::Statement kClaimReady{"claim_ready", R"sql(
WITH control AS MATERIALIZED (SELECT state = 'running' AS running FROM service_state),
picked AS MATERIALIZED (
    SELECT ctid, xid, id FROM message_queue
    WHERE (xid, id) > ($1::text::xid8, $2::bigint) AND (SELECT running FROM control)
    ORDER BY xid, id LIMIT $3::int FOR UPDATE SKIP LOCKED),
taken AS (
    DELETE FROM message_queue WHERE ctid = ANY (ARRAY(SELECT ctid FROM picked)) RETURNING id),
ready AS MATERIALIZED (
    SELECT m.id, m.endpoint_id, m.attempts, m.recipient, m.content, date_part('epoch', now() - m.created_at) AS age
    FROM taken t JOIN messages m ON m.id = t.id WHERE NOT m.is_sent),
ledger AS (
    INSERT INTO message_claim (instance_id, ids, attempts)
    SELECT $4::bigint, array_agg(id ORDER BY id), array_agg(attempts ORDER BY id) FROM ready HAVING count(*) > 0
    RETURNING claim_id)
SELECT pg_snapshot_xmin(pg_current_snapshot())::text, (SELECT count(*) FROM taken), (SELECT running FROM control),
       NULL::bigint, l.claim_id, r.id, r.endpoint_id, r.attempts, r.recipient, r.content, r.age, p.xid::text, p.id
FROM (SELECT) one LEFT JOIN (SELECT xid, id FROM picked ORDER BY xid DESC, id DESC LIMIT 1) p ON true
LEFT JOIN (ready r CROSS JOIN ledger l) ON true ORDER BY r.id)sql"};

constexpr pg::Statement kClaimDue{"claim_due", R"sql(
WITH control AS MATERIALIZED (SELECT state = 'running' AS running FROM service_state),
picked AS MATERIALIZED (
    SELECT ctid FROM message_schedule
    WHERE due_at <= now() AND (SELECT running FROM control)
    ORDER BY due_at, id LIMIT $1::int FOR UPDATE SKIP LOCKED),
taken AS (
    DELETE FROM message_schedule WHERE ctid = ANY (ARRAY(SELECT ctid FROM picked)) RETURNING id),
ready AS MATERIALIZED (
    SELECT m.id, m.endpoint_id, m.attempts, m.recipient, m.content, date_part('epoch', now() - m.created_at) AS age
    FROM taken t JOIN messages m ON m.id = t.id WHERE NOT m.is_sent),
ledger AS (
    INSERT INTO message_claim (instance_id, ids, attempts)
    SELECT $2::bigint, array_agg(id ORDER BY id), array_agg(attempts ORDER BY id) FROM ready HAVING count(*) > 0
    RETURNING claim_id)
SELECT '0', (SELECT count(*) FROM taken), (SELECT running FROM control),
       CASE WHEN (SELECT count(*) FROM taken) = $1::int THEN 0 ELSE (
           SELECT ceil(extract(epoch FROM due_at - now()) * 1000)::bigint FROM message_schedule
           WHERE due_at > now() ORDER BY due_at LIMIT 1) END,
       l.claim_id, r.id, r.endpoint_id, r.attempts, r.recipient, r.content, r.age
FROM (SELECT) one LEFT JOIN (ready r CROSS JOIN ledger l) ON true ORDER BY r.id)sql"};

// What was adopted and is not known yet is left to read_adopted, which counts the attempt that died.
constexpr pg::Statement kReturnOrphans{"return_orphans", R"sql(
WITH orphans AS (
    DELETE FROM message_claim WHERE instance_id = $1::bigint AND NOT adopted AND claim_id <> ALL ($2::bigint[])
    RETURNING ids, attempts)
INSERT INTO message_queue (id)
SELECT m.id FROM orphans o CROSS JOIN LATERAL unnest(o.ids, o.attempts) AS u(id, attempts) JOIN messages m ON m.id = u.id
WHERE NOT m.is_sent AND m.attempts = u.attempts)sql"};

constexpr pg::Statement kLoadEndpoints{"load_endpoints", "SELECT id, name, url, headers, max_in_flight FROM endpoints"};

service::ClaimBatch read_claim(const pg::Rows& rows) {
    service::ClaimBatch batch;
    batch.next_floor = static_cast<service::Floor>(rows.bigint(0, 0));
    batch.taken = static_cast<std::size_t>(rows.bigint(0, 1));
    batch.running = rows.boolean(0, 2);
    if (!rows.is_null(0, 3)) batch.next_due = std::chrono::milliseconds(rows.bigint(0, 3));
    for (int row = 0; row < rows.size(); ++row) {
        if (rows.is_null(row, 4)) continue;
        core::Delivery delivery;
        delivery.claim_id = rows.bigint(row, 4);
        delivery.id = rows.bigint(row, 5);
        delivery.endpoint_id = rows.bigint(row, 6);
        delivery.attempts = rows.integer(row, 7);
        delivery.recipient = rows.text(row, 8);
        delivery.content = rows.text(row, 9);
        delivery.age_seconds = rows.number(row, 10);
        batch.deliveries.push_back(std::move(delivery));
    }
    return batch;
}

// A JSON object of strings; what is not one gives no headers, because a bad endpoint row must not stop the others.
std::vector<std::pair<std::string, std::string>> read_headers(std::string_view text) {
    std::vector<std::pair<std::string, std::string>> headers;
    const auto document = core::JsonDocument::parse(text);
    if (!document || !document->root().is_object()) return headers;
    for (const std::string_view name : document->root().keys()) {
        const auto value = document->root().member(name);
        if (value && value->is_string()) headers.emplace_back(name, value->text());
    }
    return headers;
}

}  // namespace

void PgQueueStore::claim_ready(const service::ClaimRequest& request, service::Completion<service::ClaimBatch> done) {
    pg::Params params;
    params.text(std::to_string(request.behind.xid)).bigint(request.behind.id).integer(request.limit).bigint(request.instance_id);
    run_one<service::ClaimBatch>(claim_, kClaimReady, std::move(params), std::move(done), [](const pg::Rows& rows) {
        service::ClaimBatch batch = read_claim(rows);
        if (batch.taken > 0) batch.last = {static_cast<service::Floor>(rows.bigint(0, 11)), rows.bigint(0, 12)};
        return batch;
    });
}

void PgQueueStore::claim_due(const service::ClaimRequest& request, service::Completion<service::ClaimBatch> done) {
    pg::Params params;
    params.integer(request.limit).bigint(request.instance_id);
    run_one<service::ClaimBatch>(claim_, kClaimDue, std::move(params), std::move(done), read_claim);
}

void PgQueueStore::return_orphans(core::InstanceId instance_id, std::vector<core::ClaimId> known,
                                  service::Completion<std::size_t> done) {
    pg::Params params;
    params.bigint(instance_id).bigint_array(known);
    run_one<std::size_t>(claim_, kReturnOrphans, std::move(params), std::move(done),
                         [](const pg::Rows& rows) { return static_cast<std::size_t>(rows.affected()); });
}

void PgQueueStore::load_endpoints(service::Completion<std::vector<core::Endpoint>> done) {
    run_one<std::vector<core::Endpoint>>(claim_, kLoadEndpoints, {}, std::move(done), [](const pg::Rows& rows) {
        std::vector<core::Endpoint> endpoints;
        endpoints.reserve(static_cast<std::size_t>(rows.size()));
        for (int row = 0; row < rows.size(); ++row) {
            endpoints.push_back({rows.bigint(row, 0), std::string(rows.text(row, 1)), std::string(rows.text(row, 2)),
                                 read_headers(rows.text(row, 3)), rows.integer(row, 4)});
        }
        return endpoints;
    });
}

}  // namespace messaging::repository
