// The statement that reserves moments.
#include "repository/rate_limit_store.h"

#include "pg/run_statement.h"

namespace messaging::repository {
namespace {

// free_at is the first free moment of an endpoint, and a reservation moves it on by count/rate: the generic cell rate algorithm
// without a burst (ITU-T I.371). clock_timestamp() is read under the row's lock, so a reservation that has waited for another
// one begins behind it. If free_at is more than two minutes ahead, the clock was set back, and free_at counts as now: at the
// lowest limit, 1 a second, 120 engines are no further ahead. A row that another session has locked is left
// out: this statement's session has notifications to deliver, and the other endpoints have limits of their own.
constexpr pg::Statement kReserve{"reserve_moments", R"sql(
WITH begun AS MATERIALIZED (SELECT clock_timestamp() AS at),
free AS MATERIALIZED (
    SELECT endpoint_id FROM messaging._endpoint_rate WHERE endpoint_id = ANY ($1::bigint[]) FOR UPDATE SKIP LOCKED),
wanted AS MATERIALIZED (
    SELECT u.endpoint_id, u.count, u.count * interval '1 second' / u.rate AS lasts
    FROM unnest($1::bigint[], $2::int[], $3::int[]) AS u(endpoint_id, rate, count)
    WHERE u.endpoint_id IN (SELECT endpoint_id FROM free)
       OR NOT EXISTS (SELECT FROM messaging._endpoint_rate r WHERE r.endpoint_id = u.endpoint_id)),
reserved AS (
    INSERT INTO messaging._endpoint_rate AS r (endpoint_id, free_at)
    SELECT endpoint_id, at + lasts FROM wanted, begun ORDER BY endpoint_id
    ON CONFLICT (endpoint_id) DO UPDATE SET free_at =
        CASE WHEN r.free_at > clock_timestamp() + interval '2 minutes' THEN clock_timestamp()
             ELSE greatest(r.free_at, clock_timestamp()) END + (excluded.free_at - (SELECT at FROM begun))
    RETURNING endpoint_id, free_at)
SELECT w.endpoint_id, w.count, greatest(0, extract(epoch FROM r.free_at - w.lasts - clock_timestamp()) * 1000000)::bigint
FROM reserved r JOIN wanted w ON w.endpoint_id = r.endpoint_id)sql"};

}  // namespace

void PgRateLimitStore::reserve(std::vector<engine::RateRequest> requests, core::Completion<std::vector<engine::RateGrant>> done) {
    std::vector<std::int64_t> endpoints;
    std::vector<std::int32_t> rates;
    std::vector<std::int32_t> counts;
    for (const engine::RateRequest& request : requests) {
        endpoints.push_back(request.endpoint);
        rates.push_back(request.rate);
        counts.push_back(request.count);
    }
    pg::Params params;
    params.bigint_array(endpoints).integer_array(rates).integer_array(counts);
    using Grants = std::vector<engine::RateGrant>;
    pg::run_statement<Grants>(session_, kReserve, std::move(params), std::move(done), [](const pg::Rows& rows) {
        Grants grants;
        for (int row = 0; row < rows.size(); ++row)
            grants.push_back({rows.bigint(row, 0), rows.integer(row, 1), std::chrono::microseconds(rows.bigint(row, 2))});
        return grants;
    });
}

}  // namespace messaging::repository
