// Reads the receipts that Redis has not confirmed.
#include "repository/receipt_backlog_store.h"

#include <string>

#include "core/completion.h"
#include "engine/receipt_backlog_store.h"
#include "pg/run_statement.h"
#include "repository/time_text.h"

namespace messaging::repository {
namespace {

// The outer joins keep a batch whose messages, or whose row in the sent log, are gone. Such a batch is confirmed without a
// receipt. Otherwise it would count against the LIMIT for ever.
const std::string kReadBacklogSql = R"sql(
WITH missed AS MATERIALIZED (
    SELECT batch_id FROM messaging._receipt_backlog WHERE instance_id = $1::bigint AND (batch_id IN (SELECT unnest($2::bigint[]))) IS NOT TRUE
    ORDER BY batch_id + 0 LIMIT $3::int)
SELECT missed.batch_id, u.id, m.receiver_message_id, )sql" +
                                    rfc3339("s.sent_at") + R"sql(,
       coalesce(m.sent_at = s.sent_at, false)
FROM missed LEFT JOIN messaging._sent_batch s ON s.batch_id = missed.batch_id LEFT JOIN LATERAL unnest(s.ids) AS u(id) ON true
LEFT JOIN public.messages m ON m.id = u.id ORDER BY missed.batch_id, u.id)sql";
const pg::Statement kReadBacklog{"read_receipt_backlog", kReadBacklogSql.c_str()};

// `owner` steps through the index from one instance to the next, so it costs one look-up for each instance, not for each batch. A
// batch that another engine is reclaiming is skipped. A batch that another engine has just reclaimed belongs to that engine; its
// instance_id is compared again under the lock.
constexpr pg::Statement kReclaimBacklog{"reclaim_receipt_backlog", R"sql(
WITH RECURSIVE owner AS (
    (SELECT instance_id FROM messaging._receipt_backlog ORDER BY instance_id LIMIT 1)
    UNION ALL
    SELECT (SELECT b.instance_id FROM messaging._receipt_backlog b WHERE b.instance_id > o.instance_id ORDER BY b.instance_id LIMIT 1)
    FROM owner o WHERE o.instance_id IS NOT NULL),
gone AS MATERIALIZED (
    SELECT o.instance_id FROM owner o WHERE o.instance_id <> $1::bigint
       AND NOT EXISTS (SELECT FROM messaging._instance i WHERE i.instance_id = o.instance_id)),
taken AS MATERIALIZED (
    SELECT b.batch_id FROM gone CROSS JOIN LATERAL (
        SELECT r.batch_id FROM messaging._receipt_backlog r WHERE r.instance_id = gone.instance_id ORDER BY r.batch_id + 0 LIMIT $2::int
        FOR UPDATE SKIP LOCKED) b
    LIMIT $2::int)
UPDATE messaging._receipt_backlog SET instance_id = $1::bigint WHERE batch_id IN (SELECT batch_id FROM taken) RETURNING batch_id)sql"};

// IS TRUE keeps the planner from the other index, by which it would read all of the instance's rows.
constexpr pg::Statement kMoveBacklog{"move_receipt_backlog", R"sql(
UPDATE messaging._receipt_backlog SET instance_id = $2::bigint
WHERE batch_id = ANY ($3::bigint[]) AND (instance_id = $1::bigint) IS TRUE)sql"};

}  // namespace

void PgReceiptBacklogStore::read_backlog(core::InstanceId me, std::vector<std::int64_t> not_these, int limit,
                                         core::Completion<std::vector<engine::BacklogBatch>> done) {
    pg::Params params;
    params.bigint(me).bigint_array(not_these).integer(limit);
    pg::run_statement<
        std::vector<engine::BacklogBatch>>(session_, kReadBacklog, std::move(params), std::move(done), [](const pg::Rows& rows) {
        std::vector<engine::BacklogBatch> batches;
        for (int row = 0; row < rows.size(); ++row) {
            const std::int64_t batch_id = rows.bigint(row, 0);
            if (batches.empty() || batches.back().batch_id != batch_id) batches.push_back({batch_id, {}});
            // The message was sent again or deleted since, or the batch was pruned: this batch has no receipt for it.
            if (!rows.boolean(row, 4)) continue;
            batches.back().receipts.push_back({rows.bigint(row, 1), rows.optional_text(row, 2), std::string(rows.text(row, 3))});
        }
        return batches;
    });
}

void PgReceiptBacklogStore::reclaim_backlog(core::InstanceId me, int limit, core::Completion<std::size_t> done) {
    pg::Params params;
    params.bigint(me).integer(limit);
    pg::run_statement<std::size_t>(session_, kReclaimBacklog, std::move(params), std::move(done),
                                   [](const pg::Rows& rows) { return static_cast<std::size_t>(rows.size()); });
}

void PgReceiptBacklogStore::move_backlog(core::InstanceId from, core::InstanceId to, std::vector<std::int64_t> batches,
                                         core::Completion<core::Unit> done) {
    pg::Params params;
    params.bigint(from).bigint(to).bigint_array(batches);
    pg::run_statement<core::Unit>(session_, kMoveBacklog, std::move(params), std::move(done), pg::nothing);
}

}  // namespace messaging::repository
