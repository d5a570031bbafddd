// Reading back what Redis missed.
#include "repository/receipt_backlog_store.h"

#include "repository/unit.h"

namespace messaging::repository {
namespace {

// Another live instance's batches are left to it.
constexpr pg::Statement kReadBacklog{"read_receipt_backlog", R"sql(
WITH missed AS MATERIALIZED (
    SELECT b.batch_id FROM messaging._receipt_backlog b
    WHERE b.batch_id <> ALL ($2::bigint[])
      AND (b.instance_id = $1::bigint OR NOT EXISTS (SELECT FROM messaging._instance i WHERE i.instance_id = b.instance_id))
    ORDER BY b.batch_id LIMIT $3::int)
SELECT s.batch_id, u.id, m.receiver_message_id, to_char(s.sent_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
       coalesce(m.sent_at = s.sent_at, false)
FROM missed JOIN messaging._sent_batch s ON s.batch_id = missed.batch_id CROSS JOIN LATERAL unnest(s.ids) AS u(id)
LEFT JOIN public.messages m ON m.id = u.id ORDER BY s.batch_id, u.id)sql"};

}  // namespace

void PgReceiptBacklogStore::read_backlog(core::InstanceId me, std::vector<std::int64_t> held, int limit,
                                         service::Completion<std::vector<service::BacklogBatch>> done) {
    pg::Params params;
    params.bigint(me).bigint_array(held).integer(limit);
    run_one<
        std::vector<service::BacklogBatch>>(session_, kReadBacklog, std::move(params), std::move(done), [](const pg::Rows& rows) {
        std::vector<service::BacklogBatch> batches;
        for (int row = 0; row < rows.size(); ++row) {
            const std::int64_t batch_id = rows.bigint(row, 0);
            if (batches.empty() || batches.back().batch_id != batch_id) batches.push_back({batch_id, {}});
            // Sent again or deleted since: a later batch tells of it, or nothing does.
            if (!rows.boolean(row, 4)) continue;
            batches.back().receipts.push_back({rows.bigint(row, 1), rows.optional_text(row, 2), std::string(rows.text(row, 3))});
        }
        return batches;
    });
}

}  // namespace messaging::repository
