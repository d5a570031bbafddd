// Each list walks the index that has its order, and joins the archive for the rows of one page only.
#include "repository/list_statements.h"

#include "repository/message_store.h"

#define RFC3339(column) "to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
#define MESSAGE_COLUMNS                                                                                              \
    "m.id, m.recipient, m.content, m.is_sent, m.attempts, " RFC3339("m.created_at") ", " RFC3339("m.sent_at") ", "   \
    RFC3339("s.due_at") ", " RFC3339("d.failed_at") ", m.receiver_message_id, m.last_error, e.name"
#define MESSAGE_JOINS                                                                                                \
    " LEFT JOIN message_schedule s ON s.id = m.id AND NOT m.is_sent"                                                 \
    " LEFT JOIN message_dead d ON d.id = m.id AND NOT m.is_sent LEFT JOIN endpoints e ON e.id = m.endpoint_id "

namespace messaging::repository {
namespace {

// A batch lists what it marked; what was sent again since belongs to a later batch, and its time tells.
constexpr pg::Statement kListSent{"list_sent",
                                  "WITH batches AS MATERIALIZED ("
                                  " SELECT batch_id, sent_at, ids FROM message_sent_batch"
                                  " WHERE $2::bigint IS NULL OR batch_id <= $2::bigint"
                                  " ORDER BY batch_id DESC LIMIT 500),"
                                  "page AS (SELECT b.batch_id, u.id, b.sent_at FROM batches b"
                                  " CROSS JOIN LATERAL unnest(b.ids) AS u(id)"
                                  " JOIN messages p ON p.id = u.id AND p.is_sent AND p.sent_at = b.sent_at"
                                  " WHERE $2::bigint IS NULL OR b.batch_id < $2::bigint OR u.id < $3::bigint"
                                  " ORDER BY b.batch_id DESC, u.id DESC LIMIT $1::int) "
                                  "SELECT p.batch_id, p.id, " MESSAGE_COLUMNS
                                  ", (SELECT CASE WHEN count(*) = 500 THEN min(batch_id) END FROM batches)"
                                  " FROM (SELECT) one LEFT JOIN page p ON true"
                                  " LEFT JOIN messages m ON m.id = p.id" MESSAGE_JOINS
                                  "ORDER BY p.batch_id DESC, p.id DESC"};

constexpr pg::Statement kListPending{"list_pending",
                                     "SELECT q.xid::text::bigint, q.id, " MESSAGE_COLUMNS
                                     ", NULL::bigint FROM (SELECT xid, id FROM message_queue"
                                     " WHERE xid >= coalesce((SELECT max(floor) FROM engine_instance), '0'::xid8)"
                                     " AND ($2::bigint IS NULL OR (xid, id) < ($2::text::xid8, $3::bigint))"
                                     " ORDER BY xid DESC, id DESC LIMIT $1::int) q"
                                     " JOIN messages m ON m.id = q.id AND NOT m.is_sent" MESSAGE_JOINS
                                     "ORDER BY q.xid DESC, q.id DESC"};

constexpr pg::Statement kListScheduled{
    "list_scheduled",
    "SELECT (extract(epoch FROM w.due_at) * 1000000)::bigint, w.id, " MESSAGE_COLUMNS
    ", NULL::bigint FROM (SELECT due_at, id FROM message_schedule"
    " WHERE $2::bigint IS NULL OR (due_at, id) > ('epoch'::timestamptz + $2::bigint * interval '1 microsecond', $3::bigint)"
    " ORDER BY due_at, id LIMIT $1::int) w JOIN messages m ON m.id = w.id AND NOT m.is_sent" MESSAGE_JOINS
    "ORDER BY w.due_at, w.id"};

constexpr pg::Statement kListDead{
    "list_dead",
    "SELECT (extract(epoch FROM w.failed_at) * 1000000)::bigint, w.id, " MESSAGE_COLUMNS
    ", NULL::bigint FROM (SELECT failed_at, id FROM message_dead"
    " WHERE $2::bigint IS NULL OR (failed_at, id) < ('epoch'::timestamptz + $2::bigint * interval '1 microsecond', $3::bigint)"
    " ORDER BY failed_at DESC, id DESC LIMIT $1::int) w JOIN messages m ON m.id = w.id AND NOT m.is_sent" MESSAGE_JOINS
    "ORDER BY w.failed_at DESC, w.id DESC"};

constexpr pg::Statement kListAll{"list_all",
                                 "SELECT 0, m.id, " MESSAGE_COLUMNS
                                 ", NULL::bigint FROM (SELECT * FROM messages"
                                 " WHERE $2::bigint IS NULL OR id < $3::bigint ORDER BY id DESC LIMIT $1::int) m" MESSAGE_JOINS
                                 "ORDER BY m.id DESC"};

// Newest first by id. $5: sent, pending, scheduled, dead or all. The last column tells where a scan that was cut off ended.
constexpr pg::Statement kListRecipient{
    "list_recipient",
    "WITH scanned AS MATERIALIZED (SELECT * FROM messages WHERE recipient = $4::text"
    " AND ($2::bigint IS NULL OR id < $3::bigint) ORDER BY id DESC LIMIT 5000),"
    "page AS (SELECT m.id FROM scanned m"
    " LEFT JOIN message_schedule s ON s.id = m.id LEFT JOIN message_dead d ON d.id = m.id"
    " WHERE $5::text = 'all' OR ($5::text = 'sent' AND m.is_sent)"
    " OR (NOT m.is_sent AND CASE WHEN d.id IS NOT NULL THEN 'dead' WHEN s.id IS NOT NULL THEN 'scheduled' ELSE 'pending' END"
    " = $5::text) ORDER BY m.id DESC LIMIT $1::int) "
    "SELECT 0, p.id, " MESSAGE_COLUMNS
    ", (SELECT CASE WHEN count(*) = 5000 THEN min(id) END FROM scanned)"
    " FROM (SELECT) one LEFT JOIN page p ON true LEFT JOIN messages m ON m.id = p.id" MESSAGE_JOINS "ORDER BY p.id DESC"};

constexpr pg::Statement kGet{"get_message",
                             "SELECT " MESSAGE_COLUMNS " FROM messages m" MESSAGE_JOINS "WHERE m.id = $1::bigint"};

static_assert(kMaxBatchesPerPage == 500 && kMaxRowsScanned == 5000, "the SQL above says the same numbers");

}  // namespace

const pg::Statement& list_statement(service::ListStatus status, bool by_recipient) {
    if (by_recipient) return kListRecipient;
    switch (status) {
        case service::ListStatus::kSent: return kListSent;
        case service::ListStatus::kPending: return kListPending;
        case service::ListStatus::kScheduled: return kListScheduled;
        case service::ListStatus::kDead: return kListDead;
        case service::ListStatus::kAll: break;
    }
    return kListAll;
}

const pg::Statement& get_statement() { return kGet; }

core::MessageView read_message(const pg::Rows& rows, int row, int first) {
    core::MessageView message;
    message.id = rows.bigint(row, first);
    message.recipient = rows.text(row, first + 1);
    message.content = rows.text(row, first + 2);
    const bool is_sent = rows.boolean(row, first + 3);
    message.attempts = rows.integer(row, first + 4);
    message.created_at = rows.text(row, first + 5);
    message.sent_at = rows.optional_text(row, first + 6);
    message.due_at = rows.optional_text(row, first + 7);
    message.failed_at = rows.optional_text(row, first + 8);
    message.receiver_message_id = rows.optional_text(row, first + 9);
    message.last_error = rows.optional_text(row, first + 10);
    message.endpoint = rows.optional_text(row, first + 11).value_or("");
    message.status = is_sent              ? core::MessageStatus::kSent
                     : message.failed_at ? core::MessageStatus::kDead
                     : message.due_at    ? core::MessageStatus::kScheduled
                                         : core::MessageStatus::kPending;
    return message;
}

}  // namespace messaging::repository
