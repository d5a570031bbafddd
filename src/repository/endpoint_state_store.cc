// The statement that turns findings into states.
#include "repository/endpoint_state_store.h"

#include <string>

#include "core/text.h"
#include "pg/run_statement.h"

namespace messaging::repository {
namespace {

// In the order of the endpoints, and only where no other session has locked the row: engines that write at the same time do not
// wait for each other, and nobody changes the endpoint meanwhile (its row is locked first). A finding of a former version says
// nothing of the endpoint as it is now. The trigger on _endpoint_state makes an active endpoint backlogged while messages are
// held for it. `since` is the time at which the state began. Every success ends the state failing, so `since` tells how long the
// endpoint has only failed.
constexpr pg::Statement kWriteFindings{"write_findings", R"sql(
WITH found AS MATERIALIZED (
    SELECT s.endpoint_id, s.state, s.since, u.finding, u.reason
    FROM unnest($1::bigint[], $2::text[], $3::text[], $5::bigint[]) AS u(endpoint_id, finding, reason, version)
    JOIN messaging._endpoint_state s ON s.endpoint_id = u.endpoint_id AND s.version = u.version
    JOIN messaging.endpoints e ON e.id = u.endpoint_id
    ORDER BY s.endpoint_id FOR NO KEY UPDATE OF e, s SKIP LOCKED),
judged AS MATERIALIZED (
    SELECT f.endpoint_id,
           CASE WHEN f.finding = 'recovered' THEN 'active' WHEN f.finding = 'gone' THEN 'disabled'
                WHEN $4::bigint > 0 AND f.state = 'failing' AND f.since <= now() - $4::bigint * interval '1 millisecond' THEN 'disabled'
                ELSE 'failing' END AS state,
           CASE WHEN f.finding = 'gone' THEN f.reason ELSE 'nothing but failures: ' || f.reason END AS reason
    FROM found f WHERE f.state <> 'disabled' AND (f.finding <> 'recovered' OR f.state = 'failing')),
changed AS (
    UPDATE messaging._endpoint_state s SET state = j.state, reason = j.reason FROM judged j
    WHERE s.endpoint_id = j.endpoint_id AND (s.state <> j.state OR s.reason IS DISTINCT FROM j.reason) RETURNING s.endpoint_id)
SELECT pg_notify('messaging_control', '') FROM (SELECT FROM changed LIMIT 1) one)sql"};

const char* word_of(engine::Finding finding) {
    switch (finding) {
        case engine::Finding::kFailing: return "failing";
        case engine::Finding::kRecovered: return "recovered";
        case engine::Finding::kGone: return "gone";
    }
    return "";
}

}  // namespace

void PgEndpointStateStore::write_findings(std::vector<engine::EndpointFinding> findings, bool may_disable,
                                          core::Completion<core::Unit> done) {
    std::vector<std::int64_t> endpoints;
    std::vector<std::string> words;
    std::vector<std::string> reasons;
    std::vector<std::int64_t> versions;
    for (const engine::EndpointFinding& finding : findings) {
        endpoints.push_back(finding.endpoint);
        words.emplace_back(word_of(finding.finding));
        versions.push_back(finding.version);
        reasons.push_back(core::clean_text(finding.reason, core::kMaxErrorBytes));
    }
    pg::Params params;
    params.bigint_array(endpoints)
        .text_array(words)
        .text_array(reasons)
        .bigint(may_disable ? disable_after_.count() : 0)
        .bigint_array(versions);
    pg::run_statement<core::Unit>(session_, kWriteFindings, std::move(params), std::move(done), pg::nothing);
}

}  // namespace messaging::repository
