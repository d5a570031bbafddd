// Each list walks an index that has its order, and joins the table messages for the rows of one page only.
//
// The parameters, which have the same numbers in all lists:
//   $1  how many rows, one more than the page has
//   $2  the position of the last row of the page before, or NULL: its major ...
//   $3  ... and its id
//   $4  whether contents are shown whole
//   $5  since, or NULL. list_sent has no parameters from here on
//   $6  until, or NULL
//   $7  the endpoint's id, or NULL
//   $8  list_scheduled and list_recipient: the recipient, or NULL; list_messages_of_event: the event's id
//   $9  list_recipient and list_messages_of_event: the status, or 'all'
#include "repository/list_statements.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/rfc3339.h"

namespace messaging::repository {
namespace {

using service::ListQuery;
using service::ListStatus;

// Puts the values into the text, each in the place of its {name}.
std::string filled(std::string text, const std::vector<std::pair<std::string, std::string>>& values) {
    for (const auto& [name, value] : values) {
        for (std::size_t at = text.find(name); at != std::string::npos; at = text.find(name, at + value.size())) {
            text.replace(at, name.size(), value);
        }
    }
    return text;
}

// A character has four bytes at most, so that the reader of a page can cut at the byte.
const std::string kColumns = message_columns("CASE WHEN $4::boolean THEN m.content ELSE left(m.content, " +
                                             std::to_string(service::kMaxListedContentBytes) + ") END");

// --- Which messages belong to a list ---

// A condition for an id, as SQL names it: behind the page before ($3), and not outside since ($5) and until ($6). Ids rise nearly
// as created_at does. So messaging._last_id_before() finds the ends of the walk in the primary key, and kFilters compares the
// times exactly. The 10 minutes are for transactions that were open before they inserted.
std::string in_range(const std::string& id) {
    return filled(R"sql(
{id} <= least(coalesce($3::bigint - 1, 9223372036854775807),
              (SELECT CASE WHEN $6::text IS NULL THEN 9223372036854775807
                           ELSE messaging._last_id_before($6::text::timestamptz + interval '10 minutes') END))
AND {id} > (SELECT CASE WHEN $5::text IS NULL THEN 0
                        ELSE messaging._last_id_before($5::text::timestamptz - interval '10 minutes') END))sql",
                  {{"{id}", id}});
}

// A condition for each message that the scan has read. By coalesce() the planner expects half of the messages to pass. With OR it
// expects so few that it reads the whole of _dead for each.
const std::string kFilters = R"sql(
($5::text IS NULL OR m.created_at >= $5::text::timestamptz) AND ($6::text IS NULL OR m.created_at < $6::text::timestamptz)
AND coalesce(m.endpoint_id = $7::bigint, true))sql";

std::string has_status(const std::string& status) { return kMessageStatus + (" = " + status + " AND ") + kFilters; }

// --- The page of a list ---

enum class Order { kNewestIdFirst, kNextAttemptFirst };

struct List {
    // Reads an index in the list's order, behind the page before: the id, and due_at where that is the order.
    std::string scan;
    int max_scanned = 0;    // rows of the scan that are read for one page
    std::string join;       // of the message m to a row w of the scan
    std::string condition;  // for a message m that belongs to the list
    Order order = Order::kNewestIdFirst;
    std::string with{};  // CTEs that the scan reads
    // The position behind which the next page goes on, where the scan was cut off. c: the last row that it has read.
    std::string scan_end = "c.*";
};

// The messages of unsent lists. The other places of a sent message need not be looked up.
constexpr const char* kJoinUnsent = "JOIN public.messages m ON m.id = w.id AND NOT m.is_sent";
// The scan reads messages itself. LATERAL, because the columns are the scan's.
constexpr const char* kScanIsMessages = "CROSS JOIN LATERAL (SELECT w.*) m";
const std::string kScannedMessages =
    "SELECT id, is_sent, created_at, endpoint_id, attempts, generation FROM public.messages WHERE ";

std::string order_of(const List& list, const std::string& row) {
    return list.order == Order::kNewestIdFirst ? row + ".id DESC" : row + ".due_at, " + row + ".id";
}

std::string major_of(const List& list, const std::string& row) {
    if (list.order == Order::kNewestIdFirst) return "least($2::bigint, 0)";
    return "(extract(epoch FROM " + row + ".due_at) * 1000000)::bigint";
}

// The inner queries of `page` are no CTEs, because a CTE loses its order, and with it the early end of the LIMIT. `z` looks up
// where the scan was cut off, only if the page is not full.
std::string list_sql(const List& list) {
    return filled(R"sql(
WITH {with}
page AS MATERIALIZED (
    SELECT w.* FROM ({scan} LIMIT {max_scanned}) w {join} {places}
    WHERE {condition} ORDER BY {order_of_w} LIMIT $1::int)
SELECT {major_of_p}, p.id, {columns}, {major_of_z}, z.id
FROM (SELECT) one
LEFT JOIN page p ON true
LEFT JOIN (
    SELECT {scan_end} FROM ({scan} OFFSET {last_scanned} LIMIT 1) c
    WHERE (SELECT count(*) FROM page) < $1::int) z ON true
LEFT JOIN public.messages m ON m.id = p.id {message_joins}
ORDER BY {order_of_p})sql",
                  {{"{with}", list.with},
                   {"{scan}", list.scan},
                   {"{max_scanned}", std::to_string(list.max_scanned)},
                   {"{last_scanned}", std::to_string(list.max_scanned - 1)},
                   {"{join}", list.join},
                   {"{places}", kPlaceJoins},
                   {"{condition}", list.condition},
                   {"{scan_end}", list.scan_end},
                   {"{columns}", kColumns},
                   {"{message_joins}", kMessageJoins},
                   {"{order_of_w}", order_of(list, "w")},
                   {"{order_of_p}", order_of(list, "p")},
                   {"{major_of_p}", major_of(list, "p")},
                   {"{major_of_z}", major_of(list, "z")}});
}

// --- The lists ---

// Without a filter: by the sent log, the batch that was recorded most recently first. An entry counts only with the message's
// sent_at: a message that was sent again belongs to a later batch.
const std::string kSentSql = filled(R"sql(
WITH page AS MATERIALIZED (
    SELECT b.batch_id, u.id
    FROM (SELECT batch_id, sent_at, ids FROM messaging._sent_batch
          WHERE batch_id <= coalesce($2::bigint, 9223372036854775807) ORDER BY batch_id DESC LIMIT {max_batches}) b
    CROSS JOIN LATERAL unnest(b.ids) AS u(id)
    JOIN public.messages f ON f.id = u.id AND f.is_sent AND (f.sent_at = b.sent_at OR coalesce(f.sent_at, b.sent_at) IS NULL)
    WHERE $2::bigint IS NULL OR b.batch_id < $2::bigint OR u.id < $3::bigint
    ORDER BY b.batch_id DESC, u.id DESC LIMIT $1::int)
SELECT p.batch_id, p.id, {columns}, z.batch_id, z.id
FROM (SELECT) one
LEFT JOIN page p ON true
LEFT JOIN (
    SELECT c.batch_id, 0::bigint AS id
    FROM (SELECT batch_id FROM messaging._sent_batch
          WHERE batch_id <= coalesce($2::bigint, 9223372036854775807) ORDER BY batch_id DESC OFFSET {last_batch} LIMIT 1) c
    WHERE (SELECT count(*) FROM page) < $1::int) z ON true
LEFT JOIN public.messages m ON m.id = p.id {message_joins}
ORDER BY p.batch_id DESC, p.id DESC)sql",
                                    {{"{max_batches}", std::to_string(kMaxBatchesPerPage)},
                                     {"{last_batch}", std::to_string(kMaxBatchesPerPage - 1)},
                                     {"{columns}", kColumns},
                                     {"{message_joins}", kMessageJoins}});

const std::string kMessagesByIdDescending = kScannedMessages + in_range("id") + " ORDER BY id DESC";
const std::string kAllSql = list_sql({kMessagesByIdDescending, kMaxIdsScanned, kScanIsMessages, kFilters});
const std::string kSentByIdSql =
    list_sql({kMessagesByIdDescending, kMaxIdsScanned, kScanIsMessages, "m.is_sent AND " + kFilters});

std::string sql_of_messages_with(const std::string& column, const std::string& value) {
    return list_sql({kScannedMessages + column + " = " + value + " AND " + in_range("id") + " ORDER BY id DESC", kMaxRowsScanned,
                     kScanIsMessages, std::string("($9::text = 'all' OR ") + kMessageStatus + " = $9::text) AND " + kFilters});
}
const std::string kRecipientSql = sql_of_messages_with("recipient", "$8::text");
const std::string kEventSql = sql_of_messages_with("event_id", "$8::bigint");

const std::string kDeadSql = list_sql({"SELECT id FROM messaging._dead WHERE " + in_range("id") + " ORDER BY id DESC",
                                       kMaxEntriesScanned, kJoinUnsent, has_status("'dead'")});
const std::string kHeldSql = list_sql({"SELECT id FROM messaging._hold WHERE " + in_range("id") + " ORDER BY id DESC",
                                       kMaxEntriesScanned, kJoinUnsent, has_status("'held'")});
// id + 0, as the index _hold_endpoint has it.
const std::string kHeldOfEndpointSql =
    list_sql({"SELECT id FROM messaging._hold WHERE endpoint_id = $7::bigint AND " + in_range("id + 0") + " ORDER BY id + 0 DESC",
              kMaxEntriesScanned, kJoinUnsent, has_status("'held'")});

const std::string kScheduledSql =
    list_sql({R"sql(
SELECT due_at, id FROM messaging._schedule
WHERE (due_at, id + 0) > (coalesce('epoch'::timestamptz + $2::bigint * interval '1 microsecond', '-infinity'), coalesce($3::bigint, 0))
ORDER BY due_at, id + 0)sql",
              kMaxEntriesScanned, kJoinUnsent, has_status("'scheduled'") + " AND ($8::text IS NULL OR m.recipient = $8::text)",
              Order::kNextAttemptFirst});

const std::string kSendingSql = list_sql(
    {"SELECT id FROM (SELECT DISTINCT unnest(ids) AS id FROM messaging._claim) c WHERE " + in_range("id") + " ORDER BY id DESC",
     kMaxEntriesScanned, kJoinUnsent, has_status("'sending'")});

// The queue is in the order in which it is claimed, and has no index on the id. A queue shorter than kMaxQueueSorted is sorted.
// (Its LIMIT is a sub-select, because for a constant PostgreSQL would sort the whole queue.) If the queue is longer, the newest
// messages are the ones that wait, as a rule, and messages is walked. Where they are not (many old messages were sent again), the
// next page goes on at the next id of the queue, for which the whole queue is read once.
constexpr const char* kQueue = R"sql(
messaging._queue q WHERE q.xid >= coalesce((SELECT floor FROM messaging._instance ORDER BY floor DESC LIMIT 1), '0'::xid8))sql";
const std::string kPendingSql = list_sql(
    {.scan = filled(R"sql(
SELECT id FROM (
    (SELECT DISTINCT id FROM front WHERE (SELECT is_short FROM size) AND {in_range} ORDER BY id DESC)
    UNION ALL
    (SELECT id FROM public.messages WHERE NOT (SELECT is_short FROM size) AND {in_range} ORDER BY id DESC LIMIT {max_ids})) either
ORDER BY id DESC)sql",
                    {{"{in_range}", in_range("id")}, {"{max_ids}", std::to_string(kMaxIdsScanned)}}),
     .max_scanned = kMaxIdsScanned,
     .join = kJoinUnsent,
     .condition = has_status("'pending'"),
     .with = filled(R"sql(
front AS MATERIALIZED (SELECT id FROM {queue} ORDER BY xid, id LIMIT (SELECT {max_sorted})),
size AS MATERIALIZED (SELECT count(*) < {max_sorted} AS is_short FROM front),)sql",
                    {{"{queue}", kQueue}, {"{max_sorted}", std::to_string(kMaxQueueSorted)}}),
     .scan_end = filled("(SELECT coalesce(max(q.id), 0) + 1 FROM {queue} AND q.id < c.id) AS id", {{"{queue}", kQueue}})});

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
const pg::Statement kEvent{"list_messages_of_event", kEventSql.c_str()};

bool has_no_filter(const ListQuery& query) { return !query.recipient && !query.endpoint_id && !query.since && !query.until; }

}  // namespace

const pg::Statement& list_statement(const ListQuery& query) {
    if (query.event_id) return kEvent;
    if (query.status == ListStatus::kScheduled) return kScheduled;
    if (query.recipient) return kRecipient;
    switch (query.status) {
        case ListStatus::kSent: return has_no_filter(query) ? kSent : kSentById;
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
    const pg::Statement& statement = list_statement(query);
    pg::Params params;
    params.integer(query.limit + 1);
    if (query.after) {
        params.bigint(query.after->major).bigint(query.after->id);
    } else {
        params.null().null();
    }
    params.boolean(query.with_content);
    if (&statement == &kSent) return params;
    for (const auto& moment : {query.since, query.until}) {
        params.optional_text(core::format_rfc3339_us(moment));
    }
    params.optional_bigint(query.endpoint_id);
    if (&statement == &kScheduled || &statement == &kRecipient) params.optional_text(query.recipient);
    if (&statement == &kEvent) params.optional_bigint(query.event_id);
    if (&statement == &kRecipient || &statement == &kEvent) params.text(service::word_of(query.status));
    return params;
}

}  // namespace messaging::repository
