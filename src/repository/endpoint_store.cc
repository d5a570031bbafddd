// Reads the endpoints, and writes the row that WEBHOOK_URL sets.
#include "repository/endpoint_store.h"

#include <cstddef>
#include <string_view>
#include <utility>

#include "core/json.h"
#include "pg/run_statement.h"
#include "repository/endpoint_state.h"

namespace messaging::repository {
namespace {

constexpr pg::Statement kLoadEndpoints{"load_endpoints", R"sql(
SELECT e.id, e.name, e.url, e.headers, e.max_in_flight, s.state, e.timeout_seconds, e.max_attempts
FROM messaging.endpoints e LEFT JOIN messaging._endpoint_state s ON s.endpoint_id = e.id)sql"};

constexpr pg::Statement kSetDefaultEndpoint{"set_default_endpoint", R"sql(
WITH before AS MATERIALIZED (SELECT url FROM messaging.endpoints WHERE name = 'default'),
changed AS (
    UPDATE messaging.endpoints SET url = $1::text, max_in_flight = $2::int
    WHERE name = 'default' AND (url, max_in_flight) IS DISTINCT FROM ($1::text, $2::int))
SELECT coalesce((SELECT url FROM before), ''))sql"};

// A JSON object of strings; what is not one gives no headers, because a bad endpoint row must not stop the others.
std::vector<std::pair<std::string, std::string>> read_headers(std::string_view text) {
    std::vector<std::pair<std::string, std::string>> headers;
    const auto document = core::JsonDocument::parse(text);
    if (!document || !document->root().is_object()) return headers;
    for (const std::string_view name : document->root().keys()) {
        const auto value = document->root().member(name);
        if (value && value->is_string()) headers.emplace_back(name, value->text());
    }
    return headers;
}

}  // namespace

void PgEndpointStore::load_endpoints(core::Completion<std::vector<core::Endpoint>> done) {
    pg::run_statement<std::vector<core::Endpoint>>(session_, kLoadEndpoints, {}, std::move(done), [](const pg::Rows& rows) {
        std::vector<core::Endpoint> endpoints;
        endpoints.reserve(static_cast<std::size_t>(rows.size()));
        for (int row = 0; row < rows.size(); ++row) {
            core::Endpoint& endpoint = endpoints.emplace_back();
            endpoint.id = rows.bigint(row, 0);
            endpoint.name = rows.text(row, 1);
            endpoint.url = rows.text(row, 2);
            endpoint.headers = read_headers(rows.text(row, 3));
            endpoint.max_in_flight = rows.integer(row, 4);
            endpoint.state = read_endpoint_state(rows, row, 5);
            if (!rows.is_null(row, 6)) endpoint.timeout = std::chrono::seconds(rows.integer(row, 6));
            if (!rows.is_null(row, 7)) endpoint.max_attempts = rows.integer(row, 7);
        }
        return endpoints;
    });
}

void PgEndpointStore::set_default_endpoint(const std::string& url, int max_in_flight, core::Completion<std::string> done) {
    pg::Params params;
    params.text(url).integer(max_in_flight);
    pg::run_statement<std::string>(session_, kSetDefaultEndpoint, std::move(params), std::move(done),
                                   [](const pg::Rows& rows) { return std::string(rows.text(0, 0)); });
}

}  // namespace messaging::repository
