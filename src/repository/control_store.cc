// State and status. Every count is bounded, so a large backlog does not make the status slow.
#include "repository/control_store.h"

#include <string>

#include "core/completion.h"
#include "pg/run_statement.h"
#include "repository/time_text.h"
#include "service/control_store.h"

namespace messaging::repository {
namespace {

constexpr pg::Statement kSetState{"set_state", R"sql(
INSERT INTO messaging._state AS s (state, since, by) VALUES ($1::text, now(), $2::text)
ON CONFLICT (only_row) DO UPDATE SET state = excluded.state, since = excluded.since, by = excluded.by
WHERE s.state <> excluded.state)sql"};

const std::string kShowStateSql = R"sql(
SELECT state = 'running', )sql" + rfc3339("since") +
                                  R"sql(,
       CASE by WHEN 'migration' THEN 'nobody yet' ELSE by END
FROM messaging._state)sql";
const pg::Statement kShowState{"show_state", kShowStateSql.c_str()};

const std::string kInstancesSql = R"sql(
SELECT instance_id, name, )sql" + rfc3339("started_at") +
                                  R"sql(,
       extract(epoch FROM now() - last_seen), in_flight
FROM messaging._instance ORDER BY instance_id)sql";
const pg::Statement kInstances{"list_instances", kInstancesSql.c_str()};

// $1: the counts are exact up to this number. Above it, the statistics' estimate of live rows counts.
constexpr pg::Statement kCounts{"count_messages", R"sql(
WITH bound AS MATERIALIZED (SELECT coalesce((SELECT floor FROM messaging._instance ORDER BY floor DESC LIMIT 1), '0'::xid8) AS floor),
queue AS MATERIALIZED (
    SELECT count(*) AS pending, min(id) AS oldest FROM (
        SELECT id FROM messaging._queue WHERE xid >= (SELECT floor FROM bound) ORDER BY xid, id LIMIT $1::int + 1) q)
SELECT (SELECT pending FROM queue), pg_stat_get_live_tuples('messaging._queue'::regclass),
       (SELECT count(*) FROM (SELECT FROM messaging._schedule LIMIT $1::int + 1) s), pg_stat_get_live_tuples('messaging._schedule'::regclass),
       (SELECT count(*) FROM (SELECT FROM messaging._hold LIMIT $1::int + 1) h), pg_stat_get_live_tuples('messaging._hold'::regclass),
       (SELECT count(*) FROM (SELECT FROM messaging._dead LIMIT $1::int + 1) d), pg_stat_get_live_tuples('messaging._dead'::regclass),
       (SELECT coalesce(sum(size), 0) / 10.0 FROM (
           SELECT size, sent_at FROM messaging._sent_batch ORDER BY batch_id DESC LIMIT 5000) b
        WHERE sent_at > now() - interval '10 seconds'),
       (SELECT extract(epoch FROM now() - m.created_at) FROM public.messages m WHERE m.id = (SELECT oldest FROM queue)),
       (SELECT url FROM messaging.endpoints WHERE name = 'default'),
       e.backlogged, e.failing, e.disabled
FROM (SELECT count(*) FILTER (WHERE state = 'backlogged') AS backlogged, count(*) FILTER (WHERE state = 'failing') AS failing,
             count(*) FILTER (WHERE state = 'disabled') AS disabled
      FROM messaging._endpoint_state WHERE state <> 'active') e)sql"};

service::ServiceState read_state(const pg::Rows& rows) {
    return {rows.boolean(0, 0), std::string(rows.text(0, 1)), std::string(rows.text(0, 2))};
}

// Two columns: what was counted, and the estimate.
service::Count read_count(const pg::Rows& rows, int column) {
    const std::int64_t counted = rows.bigint(0, column);
    if (counted <= service::kExactCountLimit) return {counted, true};
    return {std::max(counted, rows.bigint(0, column + 1)), false};
}

}  // namespace

void PgControlStore::set_running(bool running, const std::string& by, core::Completion<service::ServiceState> done) {
    pg::Params params;
    params.text(running ? "running" : "stopped").text(by);
    pg::run_steps<service::ServiceState>(session_, {{&kSetState, std::move(params)}, {&kShowState, {}}}, std::move(done),
                                         [](const std::vector<pg::Rows>& rows) { return read_state(rows[1]); });
}

void PgControlStore::read_status(core::Completion<service::StatusView> done) {
    pg::Params params;
    params.integer(static_cast<std::int32_t>(service::kExactCountLimit));
    pg::run_steps<service::StatusView>(
        counting_, {{&kShowState, {}}, {&kInstances, {}}, {&kCounts, std::move(params)}}, std::move(done),
        [](const std::vector<pg::Rows>& rows) {
            service::StatusView status;
            status.state = read_state(rows[0]);
            const pg::Rows& instances = rows[1];
            for (int row = 0; row < instances.size(); ++row) {
                status.instances.push_back({instances.bigint(row, 0), std::string(instances.text(row, 1)),
                                            std::string(instances.text(row, 2)), instances.number(row, 3),
                                            instances.integer(row, 4)});
                status.in_flight += instances.integer(row, 4);
            }
            const pg::Rows& counts = rows[2];
            status.pending = read_count(counts, 0);
            status.scheduled = read_count(counts, 2);
            status.held = read_count(counts, 4);
            status.dead = read_count(counts, 6);
            status.sent_per_second = counts.number(0, 8);
            status.oldest_pending_seconds = counts.optional_number(0, 9);
            if (!counts.is_null(0, 10)) status.default_url = counts.text(0, 10);
            for (std::size_t i = 0; i < status.endpoints.size(); ++i)
                status.endpoints[i] = counts.bigint(0, 11 + static_cast<int>(i));
            return status;
        });
}

}  // namespace messaging::repository
