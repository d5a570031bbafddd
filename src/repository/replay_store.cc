// The SQL of the replays' API. What a filter must be, messaging._replay_filter() says (migrations/functions/replays.sql).
#include "repository/replay_store.h"

#include <string>
#include <utility>

#include "pg/run_statement.h"
#include "repository/idempotency.h"
#include "repository/time_text.h"

namespace messaging::repository {
namespace {

using service::ReplayFilter;
using service::ReplayView;

// Of a row r of messaging.replays, in the order that read_replay() expects.
const std::string kColumns = "r.id, r.state, r.status, r.endpoint_id, r.endpoint, r.event_type, r.tenant, " + rfc3339("r.since") +
                             ", " + rfc3339("r.until") +
                             ", r.progress, r.replayed, r.skipped, r.refused, r.last_error, r.created_by, " +
                             rfc3339("r.created_at") + ", " + rfc3339("r.finished_at") + " ";

const std::string kListSql =
    "SELECT " + kColumns +
    "FROM messaging.replays r WHERE r.id < coalesce($2::bigint, 9223372036854775807) ORDER BY r.id DESC LIMIT $1::int";
const pg::Statement kList{"list_replays", kListSql.c_str()};

const std::string kGetSql = "SELECT " + kColumns + "FROM messaging.replays r WHERE r.id = $1::bigint";
const pg::Statement kGet{"get_replay", kGetSql.c_str()};

// $1 to $6, as filter_params() makes them.
const std::string kFilter = "$1::text, $2::text, $3::text::timestamptz, $4::text::timestamptz, $5::text, $6::text";
const std::string kCountSql = "SELECT matching, exact FROM messaging.count_replay(" + kFilter + ")";
const pg::Statement kCount{"count_replay", kCountSql.c_str()};

// $7 who creates it
const std::string kMade = "messaging._create_replay(" + kFilter + ", $7::text) r";
const std::string kCreateSql = "SELECT " + kColumns + "FROM " + kMade;
const pg::Statement kCreate{"create_replay", kCreateSql.c_str()};

// Creates nothing where an earlier request has used the key (repository/idempotency.h).
const std::string kCreateOnceSql = R"sql(
WITH taken AS MATERIALIZED (
    SELECT FROM messaging._idempotency_key WHERE scope = $8::text AND key = $9::text AND body IS NULL),
made AS MATERIALIZED (SELECT r.* FROM taken CROSS JOIN LATERAL )sql" +
                                   kMade +
                                   R"sql()
UPDATE messaging._idempotency_key SET body = messaging._fill_body($10::text[], coalesce((
    SELECT ARRAY[r.id::text] || CASE WHEN r.endpoint_id IS NULL THEN '{}' ELSE ARRAY[r.endpoint_id::text, r.endpoint] END || )sql" +
                                   rfc3339("r.created_at") + R"sql( FROM made r), '{}'))
WHERE scope = $8::text AND key = $9::text AND body IS NULL)sql";
const pg::Statement kCreateOnce{"create_replay_once", kCreateOnceSql.c_str()};

// Answers the state before: only a running replay can be cancelled. FOR UPDATE, because its last round may end at this moment.
constexpr pg::Statement kCancel{"cancel_replay", R"sql(
WITH target AS MATERIALIZED (SELECT r.id, r.state FROM messaging._replay r WHERE r.id = $1::bigint FOR UPDATE)
SELECT t.state, (messaging.cancel_replay(t.id)).id FROM target t)sql"};

pg::Params filter_params(const ReplayFilter& filter) {
    pg::Params params;
    params.optional_text(filter.endpoint)
        .text(filter.status)
        .optional_text(core::format_rfc3339_us(filter.since))
        .optional_text(core::format_rfc3339_us(filter.until));
    params.optional_text(filter.event_type).optional_text(filter.tenant);
    return params;
}

ReplayView read_replay(const pg::Rows& rows, int row) {
    ReplayView replay;
    replay.id = rows.bigint(row, 0);
    replay.state = rows.text(row, 1);
    replay.status = rows.text(row, 2);
    replay.endpoint_id = rows.optional_bigint(row, 3);
    replay.endpoint = rows.optional_text(row, 4);
    replay.event_type = rows.optional_text(row, 5);
    replay.tenant = rows.optional_text(row, 6);
    replay.since = rows.optional_text(row, 7);
    replay.until = rows.optional_text(row, 8);
    replay.progress = rows.optional_number(row, 9).value_or(0);
    replay.replayed = rows.bigint(row, 10);
    replay.skipped = rows.bigint(row, 11);
    replay.refused = rows.bigint(row, 12);
    replay.last_error = rows.optional_text(row, 13);
    replay.created_by = rows.text(row, 14);
    replay.created_at = rows.text(row, 15);
    replay.finished_at = rows.optional_text(row, 16);
    return replay;
}

core::Result<ReplayView> read_one(const pg::Rows& rows) {
    if (rows.size() == 0) return core::Error{core::ErrorKind::kNotFound, "there is no such replay", ""};
    return read_replay(rows, 0);
}

// One row more than the page has, so that the last page is known to be the last.
service::ReplayPage read_page(const pg::Rows& rows, int limit) {
    service::ReplayPage page;
    for (int row = 0; row < rows.size() && row < limit; ++row) page.replays.push_back(read_replay(rows, row));
    if (rows.size() > limit) page.next = page.replays.back().id;
    return page;
}

pg::Params id_params(core::ReplayId id) {
    pg::Params params;
    params.bigint(id);
    return params;
}

}  // namespace

void PgReplayStore::list(const service::ReplayQuery& query, core::Completion<service::ReplayPage> done) {
    pg::Params params;
    params.integer(query.limit + 1).optional_bigint(query.after);
    pg::run_statement<service::ReplayPage>(reading_, kList, std::move(params), std::move(done),
                                           [limit = query.limit](const pg::Rows& rows) { return read_page(rows, limit); });
}

void PgReplayStore::get(core::ReplayId id, core::Completion<ReplayView> done) {
    pg::run_statement<ReplayView>(reading_, kGet, id_params(id), std::move(done), read_one);
}

void PgReplayStore::count(const ReplayFilter& filter, core::Completion<service::Count> done) {
    pg::run_statement<service::Count>(reading_, kCount, filter_params(filter), std::move(done), [](const pg::Rows& rows) {
        return service::Count{rows.bigint(0, 0), rows.boolean(0, 1)};
    });
}

void PgReplayStore::create(const ReplayFilter& filter, const std::string& by, core::Completion<ReplayView> done) {
    pg::Params params = filter_params(filter);
    params.text(by);
    pg::run_statement<ReplayView>(writing_, kCreate, std::move(params), std::move(done), read_one);
}

void PgReplayStore::create_once(const ReplayFilter& filter, const std::string& by, const service::IdempotencyKey& key,
                                const service::ResponseTemplate& response, core::Completion<service::StoredResponse> done) {
    pg::Params params = filter_params(filter);
    params.text(by);
    add_key_params(params, key, response);
    run_once(writing_, key, response, {&kCreateOnce, std::move(params)}, std::move(done));
}

void PgReplayStore::cancel(core::ReplayId id, core::Completion<ReplayView> done) {
    pg::run_steps<ReplayView>(
        writing_, {{&kCancel, id_params(id)}, {&kGet, id_params(id)}}, std::move(done),
        [](const std::vector<pg::Rows>& rows) -> core::Result<ReplayView> {
            if (rows[0].size() == 0) return read_one(rows[0]);
            const std::string state(rows[0].text(0, 0));
            if (state == "running") return read_one(rows[1]);
            return core::Error{core::ErrorKind::kConflict, "the replay is " + state + " already; nothing was changed", ""};
        });
}

}  // namespace messaging::repository
