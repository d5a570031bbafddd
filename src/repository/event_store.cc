// The SQL of the events' API. The trigger messaging_event makes the messages (migrations/functions/events.sql).
#include "repository/event_store.h"

#include <string>
#include <utility>

#include "core/rfc3339.h"
#include "pg/run_statement.h"
#include "repository/idempotency.h"
#include "repository/message_columns.h"
#include "repository/time_text.h"

namespace messaging::repository {
namespace {

using service::CreatedEvent;

const std::string kEventColumns =
    "e.id, e.type, e.tenant, " + rfc3339("e.created_at") + ", (SELECT count(*) FROM public.messages m WHERE m.event_id = e.id)";

// $1 one event more than the page has, $2 the last id seen, $3 the type, $4 the tenant, $5 since, $6 until. Ids rise nearly as
// created_at does: as in the lists of messages (list_statements.cc), with 10 minutes for transactions that were open before they
// inserted. Where the scan was cut off is answered only with a page that is not full.
const std::string kMaxScanned = std::to_string(kMaxEventsScanned);
const std::string kListSql = R"sql(
WITH scan AS MATERIALIZED (
    SELECT id, type, tenant, created_at FROM messaging.events
    WHERE id <= least(coalesce($2::bigint - 1, 9223372036854775807),
                      (SELECT CASE WHEN $6::text IS NULL THEN 9223372036854775807
                                   ELSE messaging._last_event_before($6::text::timestamptz + interval '10 minutes') END))
      AND id > (SELECT CASE WHEN $5::text IS NULL THEN 0
                            ELSE messaging._last_event_before($5::text::timestamptz - interval '10 minutes') END)
    ORDER BY id DESC
    LIMIT (SELECT CASE WHEN num_nonnulls($3::text, $4::text, $5::text, $6::text) = 0 THEN $1::int ELSE )sql" +
                             kMaxScanned + R"sql( END)),
page AS MATERIALIZED (
    SELECT * FROM scan
    WHERE ($3::text IS NULL OR type = $3::text) AND ($4::text IS NULL OR tenant = $4::text)
      AND ($5::text IS NULL OR created_at >= $5::text::timestamptz) AND ($6::text IS NULL OR created_at < $6::text::timestamptz)
    ORDER BY id DESC LIMIT $1::int)
SELECT z.id, )sql" + kEventColumns +
                             R"sql(
FROM (SELECT) one LEFT JOIN page e ON true
LEFT JOIN (SELECT min(id) AS id FROM scan HAVING count(*) = )sql" +
                             kMaxScanned + R"sql( AND (SELECT count(*) FROM page) < $1::int) z ON true
ORDER BY e.id DESC)sql";
const pg::Statement kList{"list_events", kListSql.c_str()};

const std::string kGetSql = "SELECT " + kEventColumns + ", e.data::text FROM messaging.events e WHERE e.id = $1::bigint";
const pg::Statement kGet{"get_event", kGetSql.c_str()};

// $1 the event's id, $2 the most messages that are read; the oldest first, without contents
const std::string kEventMessagesSql = "SELECT " + message_columns("NULL::text") + " FROM public.messages m " + kMessageJoins +
                                      "WHERE m.event_id = $1::bigint ORDER BY m.id LIMIT $2::int";
const pg::Statement kEventMessages{"list_event_messages", kEventMessagesSql.c_str()};

// $1 types, $2 data, $3 tenants
const std::string kPublished = "messaging._publish($1::text[], $2::text[], $3::text[]) p";
const std::string kPublishSql =
    "SELECT p.id, " + rfc3339("p.created_at") + ", p.messages FROM " + kPublished + " ORDER BY p.place";
const pg::Statement kPublish{"publish_events", kPublishSql.c_str()};

// Creates nothing where an earlier request has used the key (repository/idempotency.h).
const std::string kPublishOnceSql = R"sql(
WITH taken AS MATERIALIZED (
    SELECT FROM messaging._idempotency_key WHERE scope = $4::text AND key = $5::text AND body IS NULL),
made AS MATERIALIZED (SELECT p.* FROM taken CROSS JOIN LATERAL )sql" +
                                    kPublished + R"sql()
UPDATE messaging._idempotency_key SET body = messaging._fill_body($6::text[], coalesce(
    (SELECT array_agg(v.value ORDER BY m.place, v.place) FROM made m
     CROSS JOIN LATERAL (VALUES (1, m.id::text), (2, )sql" +
                                    rfc3339("m.created_at") + R"sql(), (3, m.messages::text)) AS v(place, value)), '{}'))
WHERE scope = $4::text AND key = $5::text AND body IS NULL)sql";
const pg::Statement kPublishOnce{"publish_events_once", kPublishOnceSql.c_str()};

pg::Params new_event_params(const std::vector<service::NewEvent>& events) {
    std::vector<std::string> types;
    std::vector<std::string> data;
    std::vector<std::optional<std::string>> tenants;
    for (const service::NewEvent& event : events) {
        types.push_back(event.type);
        data.push_back(event.data);
        tenants.push_back(event.tenant);
    }
    pg::Params params;
    params.text_array(types).text_array(data).text_array(tenants);
    return params;
}

service::EventView read_event(const pg::Rows& rows, int row, int first) {
    service::EventView event;
    event.id = rows.bigint(row, first);
    event.type = rows.text(row, first + 1);
    event.tenant = rows.optional_text(row, first + 2);
    event.created_at = rows.text(row, first + 3);
    event.message_count = rows.bigint(row, first + 4);
    return event;
}

service::EventPage read_page(const pg::Rows& rows, int limit) {
    service::EventPage page;
    for (int row = 0; row < rows.size() && !rows.is_null(row, 1); ++row) {  // an empty page has one row without an event
        if (row == limit) {
            page.next = page.events.back().id;
            return page;
        }
        page.events.push_back(read_event(rows, row, 1));
    }
    if (rows.size() > 0) page.next = rows.optional_bigint(0, 0);
    return page;
}

core::Result<service::EventDetail> read_detail(const std::vector<pg::Rows>& rows) {
    if (rows[0].size() == 0) return core::Error{core::ErrorKind::kNotFound, "there is no such event", ""};
    service::EventDetail detail{read_event(rows[0], 0, 0), std::string(rows[0].text(0, 5)), {}};
    for (int row = 0; row < rows[1].size(); ++row) detail.messages.push_back(read_message(rows[1], row, 0));
    return detail;
}

std::vector<CreatedEvent> read_created(const pg::Rows& rows) {
    std::vector<CreatedEvent> created;
    created.reserve(static_cast<std::size_t>(rows.size()));
    for (int row = 0; row < rows.size(); ++row) {
        created.push_back({rows.bigint(row, 0), std::string(rows.text(row, 1)), rows.bigint(row, 2)});
    }
    return created;
}

}  // namespace

void PgEventStore::list(const service::EventQuery& query, core::Completion<service::EventPage> done) {
    pg::Params params;
    params.integer(query.limit + 1).optional_bigint(query.after).optional_text(query.type).optional_text(query.tenant);
    for (const auto& moment : {query.since, query.until}) params.optional_text(core::format_rfc3339_us(moment));
    pg::run_statement<service::EventPage>(reading_, kList, std::move(params), std::move(done),
                                          [limit = query.limit](const pg::Rows& rows) { return read_page(rows, limit); });
}

void PgEventStore::get(core::EventId id, core::Completion<service::EventDetail> done) {
    pg::Params event;
    event.bigint(id);
    pg::Params messages;
    messages.bigint(id).integer(service::kMaxEventMessages);
    pg::run_steps<service::EventDetail>(reading_, {{&kGet, std::move(event)}, {&kEventMessages, std::move(messages)}},
                                        std::move(done), read_detail);
}

void PgEventStore::publish(const std::vector<service::NewEvent>& events, core::Completion<std::vector<CreatedEvent>> done) {
    pg::run_statement<std::vector<CreatedEvent>>(writing_, kPublish, new_event_params(events), std::move(done), read_created);
}

void PgEventStore::publish_once(const std::vector<service::NewEvent>& events, const service::IdempotencyKey& key,
                                const service::ResponseTemplate& response, core::Completion<service::StoredResponse> done) {
    pg::Params params = new_event_params(events);
    add_key_params(params, key, response);
    run_once(writing_, key, response, {&kPublishOnce, std::move(params)}, std::move(done));
}

}  // namespace messaging::repository
