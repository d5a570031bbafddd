// Adds figures to those of the minute, and deletes old ones.
#include "repository/endpoint_figures_store.h"

#include <algorithm>
#include <optional>
#include <string>

#include "core/text.h"
#include "pg/run_statement.h"

namespace messaging::repository {
namespace {

// In the order of the endpoints: engines that write at the same time wait for each other, and never in a circle.
constexpr pg::Statement kAddFigures{"add_figures", R"sql(
INSERT INTO messaging._endpoint_minute AS m (endpoint_id, minute, sent, failed, durations, last_error)
SELECT u.endpoint_id, date_trunc('minute', now()), u.sent, u.failed, u.durations::integer[], u.last_error
FROM unnest($1::bigint[], $2::int[], $3::int[], $4::text[], $5::text[]) AS u(endpoint_id, sent, failed, durations, last_error)
ORDER BY u.endpoint_id
ON CONFLICT (endpoint_id, minute) DO UPDATE SET sent = m.sent + excluded.sent, failed = m.failed + excluded.failed,
    durations = ARRAY(SELECT a.count + b.count FROM unnest(m.durations) WITH ORDINALITY AS a(count, place)
                      JOIN unnest(excluded.durations) WITH ORDINALITY AS b(count, place) USING (place) ORDER BY place),
    last_error = coalesce(excluded.last_error, m.last_error))sql"};

constexpr pg::Statement kForgetOldFigures{"forget_old_figures", R"sql(
DELETE FROM messaging._endpoint_minute WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM messaging._endpoint_minute WHERE minute < now() - interval '1 day' ORDER BY minute LIMIT 1000 FOR UPDATE SKIP LOCKED)))sql"};

std::string array_text(const std::array<int, engine::kDurationRanges>& counts) {
    std::string text;
    for (const int count : counts) text.append(text.empty() ? "{" : ",").append(std::to_string(count));
    return text + "}";
}

}  // namespace

void PgEndpointFiguresStore::add_figures(std::vector<engine::EndpointFigures> figures, core::Completion<core::Unit> done) {
    std::vector<std::int64_t> endpoints;
    std::vector<std::int32_t> sent;
    std::vector<std::int32_t> failed;
    std::vector<std::string> durations;
    std::vector<std::optional<std::string>> errors;
    for (const engine::EndpointFigures& of : figures) {
        endpoints.push_back(of.endpoint);
        sent.push_back(of.sent);
        failed.push_back(of.failed);
        durations.push_back(array_text(of.durations));
        errors.push_back(of.last_error.empty() ? std::nullopt
                                               : std::optional(core::clean_text(of.last_error, core::kMaxErrorBytes)));
    }
    pg::Params params;
    params.bigint_array(endpoints).integer_array(sent).integer_array(failed).text_array(durations).text_array(errors);
    pg::run_steps<core::Unit>(session_, {{&kAddFigures, std::move(params)}, {&kForgetOldFigures, {}}}, std::move(done),
                              [](const std::vector<pg::Rows>&) { return core::Unit{}; });
}

}  // namespace messaging::repository
