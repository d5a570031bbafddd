// Pages, single messages, and new ones.
#include "repository/message_store.h"

#include <string>

#include "core/completion.h"
#include "core/text.h"
#include "pg/run_statement.h"
#include "repository/idempotency.h"
#include "repository/list_statements.h"
#include "repository/message_columns.h"
#include "repository/time_text.h"

namespace messaging::repository {
namespace {

// $1 id, $2 webhook_id or NULL
const std::string kGetSql = "SELECT " + message_columns("m.content") + " FROM public.messages m " + kMessageJoins +
                            "WHERE m.id = $1::bigint AND ($2::text IS NULL OR messaging.webhook_id(m.id) = $2::text)";
const pg::Statement kGet{"get_message", kGetSql.c_str()};

const std::string kAttemptsSql = R"sql(
SELECT attempt, )sql" + rfc3339("at") +
                                 R"sql(, status, duration_ms, error
FROM messaging._attempt WHERE message_id = $1::bigint ORDER BY at LIMIT 1000)sql";
const pg::Statement kAttempts{"get_attempts", kAttemptsSql.c_str()};

// The check is part of the join's condition, so it is made where the triggers of the application have dropped all rows, too.
const std::string kInsertSql = R"sql(
WITH made AS (
    INSERT INTO public.messages (recipient, content, endpoint_id)
    SELECT u.recipient, u.content, u.endpoint_id
    FROM unnest($1::text[], $2::text[], $3::bigint[]) WITH ORDINALITY AS u(recipient, content, endpoint_id, place)
    ORDER BY u.place RETURNING id, )sql" +
                               rfc3339("created_at") + R"sql( AS created_at)
SELECT m.id, m.created_at FROM (SELECT messaging._check_made(count(*), cardinality($1::text[])) FROM made) AS c(is_as_accepted)
LEFT JOIN made m ON c.is_as_accepted ORDER BY m.id)sql";
const pg::Statement kInsert{"insert_messages", kInsertSql.c_str()};

// Creates nothing where an earlier request has used the key (repository/idempotency.h).
const std::string kInsertOnceSql = R"sql(
WITH made AS (
    INSERT INTO public.messages (recipient, content, endpoint_id)
    SELECT u.recipient, u.content, u.endpoint_id
    FROM unnest($1::text[], $2::text[], $3::bigint[]) WITH ORDINALITY AS u(recipient, content, endpoint_id, place)
    WHERE EXISTS (SELECT FROM messaging._idempotency_key WHERE scope = $4::text AND key = $5::text AND body IS NULL)
    ORDER BY u.place RETURNING id, )sql" +
                                   rfc3339("created_at") + R"sql( AS created_at)
UPDATE messaging._idempotency_key SET body = messaging._fill_body($6::text[], coalesce(
    (SELECT array_agg(v.value ORDER BY m.id, v.place)
     FROM made m CROSS JOIN LATERAL (VALUES (1, m.id::text), (2, m.created_at)) AS v(place, value)), '{}'))
WHERE scope = $4::text AND key = $5::text AND body IS NULL)sql";
const pg::Statement kInsertOnce{"insert_messages_once", kInsertOnceSql.c_str()};

// The trigger queues the message. The statement first finds out whether the message can be sent again: it cannot while it waits
// already, or is being sent. $2: webhook-id or NULL.
constexpr pg::Statement kRetry{"retry_message", R"sql(
WITH target AS MATERIALIZED (
    SELECT m.id, m.is_sent OR EXISTS (SELECT FROM messaging._dead d WHERE d.id = m.id)
                 OR EXISTS (SELECT FROM messaging._schedule s WHERE s.id = m.id) AS can
    FROM public.messages m WHERE m.id = $1::bigint AND ($2::text IS NULL OR messaging.webhook_id(m.id) = $2::text)),
again AS (
    UPDATE public.messages m SET is_sent = false FROM target t WHERE m.id = t.id AND t.can RETURNING m.id)
SELECT t.can, (SELECT count(*) FROM again) FROM target t)sql"};

// $2: webhook-id or NULL; $3: the reason or NULL.
constexpr pg::Statement kCancel{"cancel_message", R"sql(
SELECT c.result FROM public.messages m CROSS JOIN LATERAL messaging.cancel(ARRAY[m.id], $3::text) c
WHERE m.id = $1::bigint AND ($2::text IS NULL OR messaging.webhook_id(m.id) = $2::text))sql"};

// One row more than the page was asked for, so that the last page is known to be the last.
service::ListPage read_page(const pg::Rows& rows, const service::ListQuery& query) {
    service::ListPage page;
    service::ListPosition last;
    for (int row = 0; row < rows.size(); ++row) {
        if (rows.is_null(row, 1)) break;  // the one row of an empty page
        if (static_cast<int>(page.messages.size()) == query.limit) {
            page.next = last;
            return page;
        }
        page.messages.push_back(read_message(rows, row, kColumnsBeforeMessage));
        std::optional<std::string>& content = page.messages.back().content;
        if (content && !query.with_content) content = core::clean_text(*content, service::kMaxListedContentBytes);
        last = {rows.bigint(row, 0), rows.bigint(row, 1)};
    }
    // The scan was cut off: the next page goes on behind it.
    if (rows.size() > 0 && !rows.is_null(0, kScanEnd + 1)) page.next = {rows.bigint(0, kScanEnd), rows.bigint(0, kScanEnd + 1)};
    return page;
}

std::vector<service::CreatedMessage> read_created(const pg::Rows& rows) {
    std::vector<service::CreatedMessage> created;
    created.reserve(static_cast<std::size_t>(rows.size()));
    for (int row = 0; row < rows.size(); ++row) created.push_back({rows.bigint(row, 0), std::string(rows.text(row, 1))});
    return created;
}

core::Error not_found() { return {core::ErrorKind::kNotFound, "there is no such message"}; }

core::Result<service::MessageDetail> read_detail(const pg::Rows& message, const pg::Rows& attempts) {
    if (message.size() == 0) return not_found();
    service::MessageDetail detail;
    detail.first = read_message(message, 0, 0);
    for (int row = 0; row < attempts.size(); ++row) {
        core::AttemptView attempt;
        attempt.attempt = attempts.integer(row, 0);
        attempt.attempted_at = attempts.text(row, 1);
        attempt.http_status = attempts.optional_integer(row, 2);
        attempt.duration_ms = attempts.integer(row, 3);
        attempt.error = attempts.text(row, 4);
        detail.second.push_back(std::move(attempt));
    }
    return detail;
}

pg::Params id_params(const service::MessageRef& message) { return std::move(pg::Params().bigint(message.id)); }

pg::Params ref_params(const service::MessageRef& message) {
    pg::Params params = id_params(message);
    params.optional_text(message.webhook_id);
    return params;
}

pg::Params new_message_params(const std::vector<service::NewMessage>& messages) {
    std::vector<std::string> recipients;
    std::vector<std::string> contents;
    std::vector<core::EndpointId> endpoints;
    for (const service::NewMessage& message : messages) {
        recipients.push_back(message.recipient);
        contents.push_back(message.content);
        endpoints.push_back(message.endpoint_id.value_or(core::kDefaultEndpointId));
    }
    pg::Params params;
    params.text_array(recipients).text_array(contents).bigint_array(endpoints);
    return params;
}

}  // namespace

void PgMessageStore::list(const service::ListQuery& query, core::Completion<service::ListPage> done) {
    pg::run_statement<service::ListPage>(session_, list_statement(query), list_params(query), std::move(done),
                                         [query](const pg::Rows& rows) { return read_page(rows, query); });
}

void PgMessageStore::get(const service::MessageRef& message, core::Completion<service::MessageDetail> done) {
    pg::run_steps<service::MessageDetail>(session_, {{&kGet, ref_params(message)}, {&kAttempts, id_params(message)}},
                                          std::move(done),
                                          [](const std::vector<pg::Rows>& rows) { return read_detail(rows[0], rows[1]); });
}

void PgMessageStore::enqueue(std::vector<service::NewMessage> messages,
                             core::Completion<std::vector<service::CreatedMessage>> done) {
    pg::run_statement<std::vector<service::CreatedMessage>>(writing_, kInsert, new_message_params(messages), std::move(done),
                                                            read_created);
}

void PgMessageStore::enqueue_once(std::vector<service::NewMessage> messages, const service::IdempotencyKey& key,
                                  const service::ResponseTemplate& response, core::Completion<service::StoredResponse> done) {
    pg::Params params = new_message_params(messages);
    add_key_params(params, key, response);
    run_once(writing_, key, response, {&kInsertOnce, std::move(params)}, std::move(done));
}

void PgMessageStore::retry(const service::MessageRef& message, core::Completion<service::MessageDetail> done) {
    pg::run_steps<service::MessageDetail>(
        writing_, {{&kRetry, ref_params(message)}, {&kGet, ref_params(message)}, {&kAttempts, id_params(message)}},
        std::move(done), [](const std::vector<pg::Rows>& rows) -> core::Result<service::MessageDetail> {
            if (rows[0].size() == 0) return not_found();
            if (rows[0].boolean(0, 0)) return read_detail(rows[1], rows[2]);
            return core::Error{core::ErrorKind::kConflict,
                               "the message is already waiting to be sent, or being sent; nothing was changed", ""};
        });
}

void PgMessageStore::cancel(const service::MessageRef& message, const std::optional<std::string>& reason,
                            core::Completion<service::MessageDetail> done) {
    pg::Params params = ref_params(message);
    params.optional_text(reason);
    pg::run_steps<service::MessageDetail>(
        writing_, {{&kCancel, std::move(params)}, {&kGet, ref_params(message)}, {&kAttempts, id_params(message)}},
        std::move(done), [](const std::vector<pg::Rows>& rows) -> core::Result<service::MessageDetail> {
            if (rows[0].size() == 0) return not_found();
            const std::string result(rows[0].text(0, 0));
            if (result == "cancelled") return read_detail(rows[1], rows[2]);
            return core::Error{core::ErrorKind::kConflict, "the message is " + result + "; nothing was changed", ""};
        });
}

}  // namespace messaging::repository
