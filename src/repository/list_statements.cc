// Each list walks the index that has its order, and joins the archive for the rows of one page only.
#include "repository/list_statements.h"

#include "repository/message_store.h"

#define RFC3339(column) "to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
#define MESSAGE_COLUMNS                                                                                                     \
    "m.id, m.recipient, m.content, m.is_sent, m.attempts, " RFC3339("m.created_at") ", " RFC3339("m.sent_at") ", " RFC3339( \
        "s.due_at") ", " RFC3339("d.failed_at") ", m.receiver_message_id, coalesce(d.reason, m.last_error), e.name"
#define MESSAGE_JOINS                                                   \
    " LEFT JOIN messaging._schedule s ON s.id = m.id AND NOT m.is_sent" \
    " LEFT JOIN messaging._dead d ON d.id = m.id AND NOT m.is_sent LEFT JOIN messaging.endpoints e ON e.id = m.endpoint_id "

namespace messaging::repository {
namespace {

// What every list's statement looks like. `scan` walks an index from the cursor on and answers (key, major, id); `bound` of
// its rows are looked at for one page (`last` = bound - 1), `matching` keeps those that belong to the list. A comparison
// with coalesce() is an index condition, where "$2 IS NULL OR" would walk from the start again for every page. The inner queries
// are no CTEs, because a CTE loses its order, and with it the early end of the outer LIMIT.
#define BOUNDED_LIST(scan, matching, order, bound, last)                                                               \
    "SELECT p.major, p.id, " MESSAGE_COLUMNS                                                                           \
    ", z.major, z.id FROM (SELECT) one LEFT JOIN ("                                                                    \
    "SELECT w.key, w.major, w.id FROM (" scan " LIMIT " bound ") w " matching " ORDER BY w.key " order ", w.id " order \
    " LIMIT $1::int) p ON true LEFT JOIN (" scan " OFFSET " last                                                       \
    " LIMIT 1) z ON true"                                                                                              \
    " LEFT JOIN public.messages m ON m.id = p.id" MESSAGE_JOINS "ORDER BY p.key " order ", p.id " order
#define LAST_ID "coalesce($3::bigint, 9223372036854775807)"
#define STILL_UNSENT "JOIN public.messages f ON f.id = w.id AND NOT f.is_sent"

// A batch lists what it marked; what was sent again since belongs to a later batch, and its time tells.
constexpr pg::Statement kListSent{
    "list_sent",
    "WITH page AS (SELECT b.batch_id, u.id FROM (SELECT batch_id, sent_at, ids FROM messaging._sent_batch"
    " WHERE batch_id <= coalesce($2::bigint, 9223372036854775807) ORDER BY batch_id DESC LIMIT 500) b"
    " CROSS JOIN LATERAL unnest(b.ids) AS u(id)"
    " JOIN public.messages f ON f.id = u.id AND f.is_sent AND f.sent_at = b.sent_at"
    " WHERE $2::bigint IS NULL OR b.batch_id < $2::bigint OR u.id < $3::bigint"
    " ORDER BY b.batch_id DESC, u.id DESC LIMIT $1::int) "
    "SELECT p.batch_id, p.id, " MESSAGE_COLUMNS
    ", z.batch_id, 0 FROM (SELECT) one LEFT JOIN page p ON true"
    " LEFT JOIN (SELECT batch_id FROM messaging._sent_batch WHERE batch_id <= coalesce($2::bigint, 9223372036854775807)"
    " ORDER BY batch_id DESC OFFSET 499 LIMIT 1) z ON true"
    " LEFT JOIN public.messages m ON m.id = p.id" MESSAGE_JOINS "ORDER BY p.batch_id DESC, p.id DESC"};

constexpr pg::Statement kListPending{
    "list_pending",
    BOUNDED_LIST("SELECT xid AS key, xid::text::bigint AS major, id FROM messaging._queue"
                 " WHERE xid >= coalesce((SELECT floor FROM messaging._instance ORDER BY floor DESC LIMIT 1), '0'::xid8)"
                 " AND (xid, id) < (coalesce($2::bigint, 9223372036854775807)::text::xid8, " LAST_ID ")"
                 " ORDER BY xid DESC, id DESC",
                 STILL_UNSENT, "DESC", "1000", "999")};

constexpr pg::Statement kListScheduled{
    "list_scheduled",
    BOUNDED_LIST("SELECT due_at AS key, (extract(epoch FROM due_at) * 1000000)::bigint AS major, id FROM messaging._schedule"
                 " WHERE (due_at, id) > (coalesce('epoch'::timestamptz + $2::bigint * interval '1 microsecond', '-infinity'),"
                 " coalesce($3::bigint, 0)) ORDER BY due_at, id",
                 STILL_UNSENT, "ASC", "1000", "999")};

constexpr pg::Statement kListDead{
    "list_dead",
    BOUNDED_LIST("SELECT failed_at AS key, (extract(epoch FROM failed_at) * 1000000)::bigint AS major, id FROM messaging._dead"
                 " WHERE (failed_at, id) < (coalesce('epoch'::timestamptz + $2::bigint * interval '1 microsecond', 'infinity'),"
                 " " LAST_ID ") ORDER BY failed_at DESC, id DESC",
                 STILL_UNSENT, "DESC", "1000", "999")};

// The cursor's major is 0 in these two.
constexpr pg::Statement kListAll{"list_all", "SELECT coalesce($2::bigint, 0) * 0, m.id, " MESSAGE_COLUMNS
                                             ", NULL, NULL FROM (SELECT * FROM public.messages WHERE id < " LAST_ID
                                             " ORDER BY id DESC LIMIT $1::int) m" MESSAGE_JOINS "ORDER BY m.id DESC"};

// Newest first by id. $5: sent, pending, scheduled, dead or all.
constexpr pg::Statement kListRecipient{
    "list_recipient",
    BOUNDED_LIST("SELECT id AS key, coalesce($2::bigint, 0) * 0 AS major, id, is_sent FROM public.messages"
                 " WHERE recipient = $4::text AND id < " LAST_ID " ORDER BY id DESC",
                 "LEFT JOIN messaging._schedule ws ON ws.id = w.id LEFT JOIN messaging._dead wd ON wd.id = w.id"
                 " WHERE $5::text = 'all' OR ($5::text = 'sent' AND w.is_sent) OR (NOT w.is_sent AND $5::text ="
                 " CASE WHEN wd.id IS NOT NULL THEN 'dead' WHEN ws.id IS NOT NULL THEN 'scheduled' ELSE 'pending' END)",
                 "DESC", "5000", "4999")};

constexpr pg::Statement kGet{"get_message",
                             "SELECT " MESSAGE_COLUMNS " FROM public.messages m" MESSAGE_JOINS "WHERE m.id = $1::bigint"};

static_assert(kMaxBatchesPerPage == 500 && kMaxEntriesScanned == 1000 && kMaxRowsScanned == 5000,
              "the SQL above says the same numbers");

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
    message.next_attempt_at = rows.optional_text(row, first + 7);
    message.dead_at = rows.optional_text(row, first + 8);
    message.receiver_message_id = rows.optional_text(row, first + 9);
    message.last_error = rows.optional_text(row, first + 10);
    message.endpoint = rows.optional_text(row, first + 11).value_or("");
    message.status = is_sent                   ? core::MessageStatus::kSent
                     : message.dead_at         ? core::MessageStatus::kDead
                     : message.next_attempt_at ? core::MessageStatus::kScheduled
                                               : core::MessageStatus::kPending;
    return message;
}

}  // namespace messaging::repository
