// Each list walks an index that has its order, and joins the table messages for the rows of one page only.
#include "repository/list_statements.h"

#include <cstdlib>
#include <optional>
#include <string>

#include "core/rfc3339.h"
#include "core/webhook_id.h"
#include "repository/time_text.h"

namespace messaging::repository {
namespace {

using service::ListQuery;
using service::ListStatus;

// The places of a message m. The status is a function of them, the same for every list and for one message.
const std::string kPlaces =
    " LEFT JOIN messaging._schedule s ON s.id = m.id LEFT JOIN messaging._hold h ON h.id = m.id"
    " LEFT JOIN messaging._dead d ON d.id = m.id ";
// PostgreSQL reads the ledger once, when it comes to the first message that is in no other place.
const std::string kStatus =
    "messaging._status(m.is_sent, d.id IS NOT NULL, h.id IS NOT NULL, s.id IS NOT NULL,"
    " (m.id, m.attempts, m.generation) IN (SELECT c.id, c.attempts, c.generation FROM messaging._claimed c))";

// kMessageColumns of them.
std::string message_columns(const std::string& content) {
    return "m.id, m.recipient, " + content + ", octet_length(m.content), " + kStatus +
           ", m.attempts, m.generation, (SELECT tag FROM messaging._database), " + rfc3339("m.created_at") + ", " +
           rfc3339("m.sent_at") + ", " + rfc3339("CASE WHEN NOT m.is_sent THEN s.due_at END") + ", " +
           rfc3339("CASE WHEN NOT m.is_sent THEN d.failed_at END") +
           ", m.receiver_message_id, coalesce(CASE WHEN NOT m.is_sent THEN d.reason END, m.last_error), m.endpoint_id, e.name, "
           "m.event_id, v.type";
}

// A character has four bytes at most, so that read_message() can cut at the byte.
const std::string kListColumns = message_columns("CASE WHEN $4::boolean THEN m.content ELSE left(m.content, " +
                                                 std::to_string(service::kMaxListedContentBytes) + ") END");
const std::string kMessageJoins = kPlaces +
                                  "LEFT JOIN messaging.endpoints e ON e.id = m.endpoint_id"
                                  " LEFT JOIN messaging.events v ON v.id = m.event_id ";

// $3, the last id seen, and $5 and $6, since and until, for a column of ids. The ids follow the times nearly, so the ends of the
// walk are found in the primary key, and what lies between them is compared exactly. The 10 minutes are for transactions that
// were open before they inserted.
std::string in_range(const std::string& id) {
    return id +
           " <= least(coalesce($3::bigint - 1, 9223372036854775807), (SELECT CASE WHEN $6::text IS NULL THEN 9223372036854775807"
           " ELSE messaging._last_id_before($6::text::timestamptz + interval '10 minutes') END)) AND " +
           id +
           " > (SELECT CASE WHEN $5::text IS NULL THEN 0"
           " ELSE messaging._last_id_before($5::text::timestamptz - interval '10 minutes') END)";
}
const std::string kIdsInRange = in_range("id");
// What is compared for each message that the scan has read. $7: the endpoint. By coalesce() the planner expects half of the
// messages to pass; with OR it expects so few that it reads the whole of _dead for each.
const std::string kFilters =
    "($5::text IS NULL OR m.created_at >= $5::text::timestamptz) AND ($6::text IS NULL OR m.created_at < $6::text::timestamptz)"
    " AND coalesce(m.endpoint_id = $7::bigint, true)";

enum class Order { kNewestIdFirst, kNextAttemptFirst };

struct List {
    std::string scan;  // walks an index from the cursor on, in the list's order: ids, with due_at where that is the order
    int bound = 0;     // how many of its rows are read for one page
    std::string from;  // makes a message m of a row w of the scan
    std::string where;
    Order order = Order::kNewestIdFirst;
    std::string with{};       // more that the scan reads
    std::string end = "c.*";  // of a row c of the scan, the last one that was read: where the next page goes on behind
};

std::string order_by(const List& list, const std::string& row) {
    return " ORDER BY " + (list.order == Order::kNewestIdFirst ? row + ".id DESC" : row + ".due_at, " + row + ".id");
}

std::string major_of(const List& list, const std::string& row) {
    if (list.order == Order::kNewestIdFirst) return "least($2::bigint, 0)";
    return "(extract(epoch FROM " + row + ".due_at) * 1000000)::bigint";
}

// The inner queries of the page are no CTEs, because a CTE loses its order, and with it the early end of the LIMIT. Where a
// bounded scan was cut off is looked up only when the page is not full.
std::string list_sql(const List& list) {
    const std::string page = "SELECT w.* FROM (" + list.scan + " LIMIT " + std::to_string(list.bound) + ") w " + list.from +
                             kPlaces + "WHERE " + list.where + order_by(list, "w") + " LIMIT $1::int";
    const std::string end = "SELECT " + list.end + " FROM (" + list.scan + " OFFSET " + std::to_string(list.bound - 1) +
                            " LIMIT 1) c WHERE (SELECT count(*) FROM page) < $1::int";
    return "WITH " + list.with + "page AS MATERIALIZED (" + page + ") SELECT " + major_of(list, "p") + ", p.id, " + kListColumns +
           ", " + major_of(list, "z") + ", z.id FROM (SELECT) one LEFT JOIN page p ON true LEFT JOIN (" + end +
           ") z ON true LEFT JOIN public.messages m ON m.id = p.id" + kMessageJoins + order_by(list, "p");
}

// Of lists that have no sent messages: the other places of those need not be looked up.
const std::string kJoinUnsent = "JOIN public.messages m ON m.id = w.id AND NOT m.is_sent";
// Where the scan reads messages itself. LATERAL, because the columns are the scan's.
const std::string kScanIsMessages = "CROSS JOIN LATERAL (SELECT w.*) m";
const std::string kMessages = "SELECT id, is_sent, created_at, endpoint_id, attempts, generation FROM public.messages WHERE ";

std::string has_status(const std::string& status) { return kStatus + " = " + status + " AND " + kFilters; }

std::string messages_sql(const std::string& where) {
    return list_sql({kMessages + kIdsInRange + " ORDER BY id DESC", kMaxIdsScanned, kScanIsMessages, where + kFilters});
}

// Of a small table. `id`: as an index has it.
std::string place_sql(const std::string& table, const std::string& status, const std::string& id = "id",
                      const std::string& where = "") {
    return list_sql({"SELECT id FROM " + table + " WHERE " + where + in_range(id) + " ORDER BY " + id + " DESC",
                     kMaxEntriesScanned, kJoinUnsent, has_status("'" + status + "'")});
}

// Without parameters but the cursor's. What was sent again since belongs to a later batch, and its time tells.
const std::string kSentSql =
    "WITH page AS MATERIALIZED (SELECT b.batch_id, u.id FROM (SELECT batch_id, sent_at, ids FROM messaging._sent_batch"
    " WHERE batch_id <= coalesce($2::bigint, 9223372036854775807) ORDER BY batch_id DESC LIMIT " +
    std::to_string(kMaxBatchesPerPage) +
    ") b CROSS JOIN LATERAL unnest(b.ids) AS u(id)"
    " JOIN public.messages f ON f.id = u.id AND f.is_sent AND (f.sent_at = b.sent_at OR coalesce(f.sent_at, b.sent_at) IS NULL)"
    " WHERE $2::bigint IS NULL OR b.batch_id < $2::bigint OR u.id < $3::bigint"
    " ORDER BY b.batch_id DESC, u.id DESC LIMIT $1::int) "
    "SELECT p.batch_id, p.id, " +
    kListColumns +
    ", z.batch_id, z.id FROM (SELECT) one LEFT JOIN page p ON true"
    " LEFT JOIN (SELECT c.batch_id, 0::bigint AS id FROM (SELECT batch_id FROM messaging._sent_batch"
    " WHERE batch_id <= coalesce($2::bigint, 9223372036854775807) ORDER BY batch_id DESC OFFSET " +
    std::to_string(kMaxBatchesPerPage - 1) +
    " LIMIT 1) c WHERE (SELECT count(*) FROM page) < $1::int) z ON true"
    " LEFT JOIN public.messages m ON m.id = p.id" +
    kMessageJoins + "ORDER BY p.batch_id DESC, p.id DESC";

const std::string kSentByIdSql = messages_sql("m.is_sent AND ");
const std::string kAllSql = messages_sql("");
const std::string kDeadSql = place_sql("messaging._dead", "dead");
const std::string kHeldSql = place_sql("messaging._hold", "held");
const std::string kHeldOfEndpointSql = place_sql("messaging._hold", "held", "id + 0", "endpoint_id = $7::bigint AND ");

const std::string kScheduledSql =
    list_sql({"SELECT due_at, id FROM messaging._schedule"
              " WHERE (due_at, id + 0) > (coalesce('epoch'::timestamptz + $2::bigint * interval '1 microsecond', '-infinity'),"
              " coalesce($3::bigint, 0)) ORDER BY due_at, id + 0",
              kMaxEntriesScanned, kJoinUnsent, has_status("'scheduled'") + " AND ($8::text IS NULL OR m.recipient = $8::text)",
              Order::kNextAttemptFirst});

const std::string kSendingSql = list_sql(
    {"SELECT id FROM (SELECT DISTINCT unnest(ids) AS id FROM messaging._claim) c WHERE " + kIdsInRange + " ORDER BY id DESC",
     kMaxEntriesScanned, kJoinUnsent, has_status("'sending'")});

// The queue has the order in which it is claimed, and no index on the id. A short one is sorted; the LIMIT is a sub-select,
// because for a constant PostgreSQL would sort the whole queue. Behind a long one the newest messages are the ones that wait, as
// a rule, so messages is walked. Where they are not (many old messages were sent again), the next page goes on at the next id
// of the queue, for which the whole queue is read once.
const std::string kQueue =
    "messaging._queue q WHERE q.xid >= coalesce((SELECT floor FROM messaging._instance ORDER BY floor DESC LIMIT 1), '0'::xid8)";
const std::string kQueueFront = "front AS MATERIALIZED (SELECT id FROM " + kQueue + " ORDER BY xid, id LIMIT (SELECT " +
                                std::to_string(kMaxQueueSorted) + ")), size AS MATERIALIZED (SELECT count(*) < " +
                                std::to_string(kMaxQueueSorted) + " AS is_short FROM front), ";
const std::string kShortQueueIds =
    "SELECT DISTINCT id FROM front WHERE (SELECT is_short FROM size) AND " + kIdsInRange + " ORDER BY id DESC";
const std::string kMessagesIds = "SELECT id FROM public.messages WHERE NOT (SELECT is_short FROM size) AND " + kIdsInRange +
                                 " ORDER BY id DESC LIMIT " + std::to_string(kMaxIdsScanned);
const std::string kPendingSql =
    list_sql({"SELECT id FROM ((" + kShortQueueIds + ") UNION ALL (" + kMessagesIds + ")) either ORDER BY id DESC",
              kMaxIdsScanned, kJoinUnsent, has_status("'pending'"), Order::kNewestIdFirst, kQueueFront,
              "(SELECT coalesce(max(q.id), 0) + 1 FROM " + kQueue + " AND q.id < c.id) AS id"});

const std::string kRecipientSql =
    list_sql({kMessages + "recipient = $8::text AND " + kIdsInRange + " ORDER BY id DESC", kMaxRowsScanned, kScanIsMessages,
              "($9::text = 'all' OR " + kStatus + " = $9::text) AND " + kFilters});

const std::string kGetSql = "SELECT " + message_columns("m.content") + " FROM public.messages m" + kMessageJoins +
                            "WHERE m.id = $1::bigint AND ($2::text IS NULL OR messaging.webhook_id(m.id) = $2::text)";

const std::string kEventMessagesSql = "SELECT " + message_columns("NULL::text") + " FROM public.messages m" + kMessageJoins +
                                      "WHERE m.event_id = $1::bigint ORDER BY m.id LIMIT $2::int";

const pg::Statement kSent{"list_sent", kSentSql.c_str()};
const pg::Statement kSentById{"list_sent_by_id", kSentByIdSql.c_str()};
const pg::Statement kPending{"list_pending", kPendingSql.c_str()};
const pg::Statement kSending{"list_sending", kSendingSql.c_str()};
const pg::Statement kScheduled{"list_scheduled", kScheduledSql.c_str()};
const pg::Statement kHeld{"list_held", kHeldSql.c_str()};
const pg::Statement kHeldOfEndpoint{"list_held_of_endpoint", kHeldOfEndpointSql.c_str()};
const pg::Statement kDead{"list_dead", kDeadSql.c_str()};
const pg::Statement kAll{"list_all", kAllSql.c_str()};
const pg::Statement kRecipient{"list_recipient", kRecipientSql.c_str()};
const pg::Statement kGet{"get_message", kGetSql.c_str()};
const pg::Statement kEventMessages{"list_event_messages", kEventMessagesSql.c_str()};

bool goes_by_log(const ListQuery& query) {
    return query.status == ListStatus::kSent && !query.recipient && !query.endpoint_id && !query.since && !query.until;
}

core::MessageStatus status_of(std::string_view word) {
    for (const auto status : core::kMessageStatuses) {
        if (word == core::word_of(status)) return status;
    }
    std::abort();  // kStatus above has no other words
}

}  // namespace

const pg::Statement& list_statement(const ListQuery& query) {
    if (query.status == ListStatus::kScheduled) return kScheduled;
    if (query.recipient) return kRecipient;
    switch (query.status) {
        case ListStatus::kSent: return goes_by_log(query) ? kSent : kSentById;
        case ListStatus::kPending: return kPending;
        case ListStatus::kSending: return kSending;
        case ListStatus::kHeld: return query.endpoint_id ? kHeldOfEndpoint : kHeld;
        case ListStatus::kDead: return kDead;
        case ListStatus::kScheduled:
        case ListStatus::kAll: break;
    }
    return kAll;
}

pg::Params list_params(const ListQuery& query) {
    pg::Params params;
    params.integer(query.limit + 1);
    if (query.after) {
        params.bigint(query.after->major).bigint(query.after->id);
    } else {
        params.null().null();
    }
    params.boolean(query.with_content);
    if (goes_by_log(query)) return params;
    for (const auto& moment : {query.since, query.until}) {
        params.optional_text(moment ? std::optional(core::format_rfc3339_us(*moment)) : std::nullopt);
    }
    params.optional_bigint(query.endpoint_id);
    const pg::Statement& statement = list_statement(query);
    if (&statement == &kScheduled || &statement == &kRecipient) params.optional_text(query.recipient);
    if (&statement == &kRecipient) params.text(service::word_of(query.status));
    return params;
}

const pg::Statement& get_statement() { return kGet; }

const pg::Statement& event_messages_statement() { return kEventMessages; }

core::MessageView read_message(const pg::Rows& rows, int row, int first) {
    core::MessageView message;
    message.id = rows.bigint(row, first);
    message.recipient = rows.optional_text(row, first + 1);
    message.content = rows.optional_text(row, first + 2);
    message.content_bytes = rows.optional_integer(row, first + 3).value_or(0);
    message.status = status_of(rows.text(row, first + 4));
    message.attempts = rows.integer(row, first + 5);
    message.webhook_id = core::format_webhook_id(rows.text(row, first + 7), message.id, rows.integer(row, first + 6));
    message.created_at = rows.text(row, first + 8);
    message.sent_at = rows.optional_text(row, first + 9);
    message.next_attempt_at = rows.optional_text(row, first + 10);
    message.dead_at = rows.optional_text(row, first + 11);
    message.receiver_message_id = rows.optional_text(row, first + 12);
    message.last_error = rows.optional_text(row, first + 13);
    message.endpoint_id = rows.bigint(row, first + 14);
    message.endpoint = rows.optional_text(row, first + 15);
    message.event_id = rows.optional_bigint(row, first + 16);
    message.event_type = rows.optional_text(row, first + 17);
    return message;
}

}  // namespace messaging::repository
