// The SQL of the endpoints' API. What an endpoint must be, the trigger endpoints_check says (migrations/functions/endpoints.sql).
#include "repository/endpoint_registry.h"

#include <algorithm>
#include <string>
#include <utility>

#include "core/json.h"
#include "core/number.h"
#include "core/sqlstate.h"
#include "pg/run_statement.h"
#include "repository/endpoint_ref.h"
#include "repository/endpoint_state.h"
#include "repository/idempotency.h"
#include "repository/time_text.h"

namespace messaging::repository {
namespace {

using service::EndpointChanges;
using service::EndpointRef;
using service::EndpointView;

// In the order that read_endpoint() expects.
const std::string kColumns =
    "e.id, e.name, e.url, e.description, e.tenant, e.headers, e.signing, e.max_in_flight, e.timeout_seconds, e.max_attempts, "
    "h.state, "
    "h.state_reason, " +
    rfc3339("h.state_since") + ", " + rfc3339("e.created_at") + ", " + rfc3339("e.updated_at") + ", h.held, " +
    rfc3339("h.oldest_held_at") +
    ", h.sending, h.sent, h.failed, h.success_ratio, h.p50_ms, h.p95_ms, h.last_error, array_to_json(e.event_types), "
    "e.rate_limit ";

// OFFSET 0: the figures are read for the endpoints of the answer only, and not for all of them before a join.
const std::string kHealth = "CROSS JOIN LATERAL (SELECT * FROM messaging.endpoint_health WHERE id = e.id OFFSET 0) h ";

const std::string kGetSql = "SELECT " + kColumns + "FROM messaging.endpoints e " + kHealth + "WHERE " + kIsIt;
const pg::Statement kGet{"get_endpoint", kGetSql.c_str()};

const std::string kListSql =
    "WITH page AS MATERIALIZED (SELECT e.id FROM messaging.endpoints e JOIN messaging._endpoint_state s ON s.endpoint_id = e.id"
    " WHERE ($2::bigint IS NULL OR e.id < $2::bigint) AND ($3::text IS NULL OR s.state = $3::text)"
    " AND ($4::text IS NULL OR e.tenant = $4::text) AND ($5::text IS NULL OR e.name = $5::text)"
    " AND ($6::text IS NULL OR e.event_types && messaging._event_patterns($6::text))"
    " ORDER BY e.id DESC LIMIT $1::int) SELECT " +
    kColumns + "FROM page p JOIN messaging.endpoints e ON e.id = p.id " + kHealth + "ORDER BY p.id DESC";
const pg::Statement kList{"list_endpoints", kListSql.c_str()};

// $1 to $11, as value_params() makes them.
const std::string kInsertSql =
    "INSERT INTO messaging.endpoints AS e (name, url, description, tenant, headers, signing, max_in_flight, timeout_seconds, "
    "max_attempts, event_types, rate_limit)"
    " SELECT $1::text, $2::text, $3::text, $4::text, coalesce($5::text, '{}'), coalesce($6::text, '" +
    std::string(service::kDefaultSigning) + "'), coalesce($7::int, " + std::to_string(service::kDefaultMaxInFlight) +
    "), $8::int, $9::int, coalesce($10::text[], '{}'), $11::int ";
const std::string kReturning = "RETURNING e.id::text AS id, " + rfc3339("e.created_at") + " AS created_at";
const std::string kCreateSql = kInsertSql + kReturning;
const pg::Statement kCreate{"create_endpoint", kCreateSql.c_str()};

// Creates nothing where an earlier request has used the key (repository/idempotency.h).
const std::string kCreateOnceSql =
    "WITH made AS (" + kInsertSql +
    "WHERE EXISTS (SELECT FROM messaging._idempotency_key WHERE scope = $12::text AND key = $13::text AND body IS NULL) " +
    kReturning +
    ") UPDATE messaging._idempotency_key SET body = messaging._fill_body($14::text[], coalesce((SELECT ARRAY[id, created_at, "
    "created_at, created_at] FROM made), '{}')) WHERE scope = $12::text AND key = $13::text AND body IS NULL";
const pg::Statement kCreateOnce{"create_endpoint_once", kCreateOnceSql.c_str()};

// $3 to $24: for each column whether it is changed, and its value. Answers one row when there is such an endpoint: whether it is
// the one that follows the settings, which then stays as it is.
const std::string kChangeSql = R"sql(
WITH target AS MATERIALIZED (
    SELECT e.id, e.name = 'default' AND ($3::boolean OR $5::boolean OR $15::boolean) AS follows_settings
    FROM messaging.endpoints e WHERE )sql" +
                               kIsIt + R"sql(),
changed AS (
    UPDATE messaging.endpoints e SET
        name = CASE WHEN $3::boolean THEN $4::text ELSE e.name END, url = CASE WHEN $5::boolean THEN $6::text ELSE e.url END,
        description = CASE WHEN $7::boolean THEN $8::text ELSE e.description END,
        tenant = CASE WHEN $9::boolean THEN $10::text ELSE e.tenant END,
        headers = CASE WHEN $11::boolean THEN coalesce($12::text, '{}') ELSE e.headers END,
        signing = CASE WHEN $13::boolean THEN coalesce($14::text, ')sql" +
                               std::string(service::kDefaultSigning) + R"sql(') ELSE e.signing END,
        max_in_flight = CASE WHEN $15::boolean THEN coalesce($16::int, )sql" +
                               std::to_string(service::kDefaultMaxInFlight) + R"sql() ELSE e.max_in_flight END,
        timeout_seconds = CASE WHEN $17::boolean THEN $18::int ELSE e.timeout_seconds END,
        max_attempts = CASE WHEN $19::boolean THEN $20::int ELSE e.max_attempts END,
        event_types = CASE WHEN $21::boolean THEN coalesce($22::text[], '{}') ELSE e.event_types END,
        rate_limit = CASE WHEN $23::boolean THEN $24::int ELSE e.rate_limit END
    FROM target t WHERE e.id = t.id AND NOT t.follows_settings)
SELECT follows_settings FROM target)sql";
const pg::Statement kChange{"change_endpoint", kChangeSql.c_str()};

const std::string kRemoveSql = "DELETE FROM messaging.endpoints e WHERE " + kIsIt + "AND e.name <> 'default'";
const pg::Statement kRemove{"remove_endpoint", kRemoveSql.c_str()};

const std::string kDisableSql = "SELECT (messaging.disable(e.name, $3::text)).id FROM messaging.endpoints e WHERE " + kIsIt;
const pg::Statement kDisable{"disable_endpoint", kDisableSql.c_str()};
const std::string kEnableSql = "SELECT (messaging.enable(e.name)).id FROM messaging.endpoints e WHERE " + kIsIt;
const pg::Statement kEnable{"enable_endpoint", kEnableSql.c_str()};

// $1 the names; $2 the ids, NULL where a name is none.
constexpr pg::Statement kFind{"find_endpoints", R"sql(
SELECT e.id FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS u(name, id, place)
LEFT JOIN LATERAL (SELECT id FROM messaging.endpoints WHERE name = u.name OR id = u.id::bigint LIMIT 1) e ON true ORDER BY u.place)sql"};

EndpointView read_endpoint(const pg::Rows& rows, int row) {
    EndpointView endpoint;
    endpoint.id = rows.bigint(row, 0);
    endpoint.name = rows.text(row, 1);
    endpoint.url = rows.text(row, 2);
    endpoint.description = rows.optional_text(row, 3);
    endpoint.tenant = rows.optional_text(row, 4);
    endpoint.headers = rows.text(row, 5);
    endpoint.signing = rows.text(row, 6);
    endpoint.max_in_flight = rows.integer(row, 7);
    endpoint.timeout_seconds = rows.optional_integer(row, 8);
    endpoint.max_attempts = rows.optional_integer(row, 9);
    endpoint.state = read_endpoint_state(rows, row, 10);
    endpoint.state_reason = rows.optional_text(row, 11);
    endpoint.state_since = rows.text(row, 12);
    endpoint.created_at = rows.text(row, 13);
    endpoint.updated_at = rows.text(row, 14);
    service::EndpointHealth& health = endpoint.health;
    health.held = {std::min(rows.bigint(row, 15), service::kHeldCountLimit), rows.bigint(row, 15) <= service::kHeldCountLimit};
    health.oldest_held_at = rows.optional_text(row, 16);
    health.sending = rows.bigint(row, 17);
    health.sent = rows.bigint(row, 18);
    health.failed = rows.bigint(row, 19);
    health.success_ratio = rows.optional_number(row, 20);
    health.p50_ms = rows.optional_number(row, 21);
    health.p95_ms = rows.optional_number(row, 22);
    health.last_error = rows.optional_text(row, 23);
    endpoint.event_types = core::string_items(rows.text(row, 24));
    endpoint.rate_limit = rows.optional_integer(row, 25);
    return endpoint;
}

core::Result<EndpointView> read_one(const pg::Rows& rows) {
    if (rows.size() == 0) return no_such_endpoint();
    return read_endpoint(rows, 0);
}

void add(pg::Params& params, const std::optional<std::string>& value) { params.optional_text(value); }
void add(pg::Params& params, const std::optional<int>& value) { params.optional_integer(value); }
void add(pg::Params& params, const std::optional<std::vector<std::string>>& value) {
    value ? params.text_array(*value) : params.null();
}

// Calls `visit` with each column's change, in the order of the statements.
template <typename Visit>
void each_column(const EndpointChanges& changes, Visit visit) {
    visit(changes.name);
    visit(changes.url);
    visit(changes.description);
    visit(changes.tenant);
    visit(changes.headers);
    visit(changes.signing);
    visit(changes.max_in_flight);
    visit(changes.timeout_seconds);
    visit(changes.max_attempts);
    visit(changes.event_types);
    visit(changes.rate_limit);
}

pg::Params value_params(const EndpointChanges& endpoint) {
    pg::Params params;
    each_column(endpoint, [&params](const auto& change) { add(params, change.value_or(std::nullopt)); });
    return params;
}

// The name that the endpoint has after the changes, where it was named.
EndpointRef ref_after(const EndpointRef& endpoint, const EndpointChanges& changes) {
    EndpointRef after = endpoint;
    if (!after.id && changes.name) after.name = changes.name->value_or(endpoint.name);
    return after;
}

core::Error follows_settings(const char* what) { return {core::ErrorKind::kConflict, what, ""}; }

template <typename T>
core::Completion<T> with_conflicts(core::Completion<T> done) {
    return [done = std::move(done)](core::Result<T> result) {
        if (!result && result.error().sqlstate == core::kUniqueViolation) {
            return done(core::Error{core::ErrorKind::kConflict, "another endpoint has this name", core::kUniqueViolation});
        }
        done(std::move(result));
    };
}

}  // namespace

void PgEndpointRegistry::list(const service::EndpointQuery& query, core::Completion<service::EndpointPage> done) {
    pg::Params params;
    params.integer(query.limit + 1).optional_bigint(query.after);
    params.optional_text(query.state ? std::optional(std::string(core::word_of(*query.state))) : std::nullopt);
    params.optional_text(query.tenant).optional_text(query.name).optional_text(query.event_type);
    pg::run_statement<service::EndpointPage>(reading_, kList, std::move(params), std::move(done),
                                             [limit = query.limit](const pg::Rows& rows) {
                                                 service::EndpointPage page;
                                                 for (int row = 0; row < std::min(rows.size(), limit); ++row)
                                                     page.endpoints.push_back(read_endpoint(rows, row));
                                                 if (rows.size() > limit) page.next = page.endpoints.back().id;
                                                 return page;
                                             });
}

void PgEndpointRegistry::get(const EndpointRef& endpoint, core::Completion<EndpointView> done) {
    pg::run_statement<EndpointView>(reading_, kGet, ref_params(endpoint), std::move(done), read_one);
}

void PgEndpointRegistry::create(const EndpointChanges& endpoint, core::Completion<service::CreatedEndpoint> done) {
    pg::run_statement<service::CreatedEndpoint>(
        writing_, kCreate, value_params(endpoint), with_conflicts(std::move(done)),
        [](const pg::Rows& rows) -> core::Result<service::CreatedEndpoint> {
            if (rows.size() == 0) return core::Error{core::ErrorKind::kInternal, "a trigger has dropped the endpoint's row", ""};
            return service::CreatedEndpoint{core::parse_number<core::EndpointId>(rows.text(0, 0)).value_or(0),
                                            std::string(rows.text(0, 1))};
        });
}

void PgEndpointRegistry::create_once(const EndpointChanges& endpoint, const service::IdempotencyKey& key,
                                     const service::ResponseTemplate& response, core::Completion<service::StoredResponse> done) {
    pg::Params params = value_params(endpoint);
    add_key_params(params, key, response);
    run_once(writing_, key, response, {&kCreateOnce, std::move(params)}, with_conflicts(std::move(done)));
}

void PgEndpointRegistry::change(const EndpointRef& endpoint, const EndpointChanges& changes,
                                core::Completion<EndpointView> done) {
    pg::Params params = ref_params(endpoint);
    each_column(changes, [&params](const auto& change) {
        params.boolean(change.has_value());
        add(params, change.value_or(std::nullopt));
    });
    pg::run_steps<EndpointView>(
        writing_, {{&kChange, std::move(params)}, {&kGet, ref_params(ref_after(endpoint, changes))}},
        with_conflicts(std::move(done)), [](const std::vector<pg::Rows>& rows) -> core::Result<EndpointView> {
            if (rows[0].size() == 0) return no_such_endpoint();
            if (rows[0].boolean(0, 0)) {
                return follows_settings(
                    "name, url and max_in_flight of the endpoint default follow the settings: set WEBHOOK_URL and "
                    "ENDPOINT_MAX_IN_FLIGHT");
            }
            return read_one(rows[1]);
        });
}

void PgEndpointRegistry::remove(const EndpointRef& endpoint, core::Completion<EndpointView> done) {
    pg::run_steps<EndpointView>(
        writing_, {{&kGet, ref_params(endpoint)}, {&kRemove, ref_params(endpoint)}}, std::move(done),
        [](const std::vector<pg::Rows>& rows) -> core::Result<EndpointView> {
            auto before = read_one(rows[0]);
            if (before && rows[1].affected() == 0) {
                return follows_settings("the endpoint default cannot be deleted: messages that name no endpoint go to it");
            }
            return before;
        });
}

void PgEndpointRegistry::act(const EndpointRef& endpoint, const pg::Statement& statement, pg::Params params,
                             core::Completion<EndpointView> done) {
    pg::run_steps<EndpointView>(writing_, {{&statement, std::move(params)}, {&kGet, ref_params(endpoint)}}, std::move(done),
                                [](const std::vector<pg::Rows>& rows) { return read_one(rows[1]); });
}

void PgEndpointRegistry::disable(const EndpointRef& endpoint, const std::optional<std::string>& reason,
                                 core::Completion<EndpointView> done) {
    pg::Params params = ref_params(endpoint);
    params.optional_text(reason);
    act(endpoint, kDisable, std::move(params), std::move(done));
}

void PgEndpointRegistry::enable(const EndpointRef& endpoint, core::Completion<EndpointView> done) {
    act(endpoint, kEnable, ref_params(endpoint), std::move(done));
}

void PgEndpointRegistry::find(const std::vector<std::string>& names,
                              core::Completion<std::vector<std::optional<core::EndpointId>>> done) {
    std::vector<std::optional<std::string>> ids;
    ids.reserve(names.size());
    for (const std::string& name : names) {
        ids.push_back(core::parse_number<core::EndpointId>(name) ? std::optional(name) : std::nullopt);
    }
    pg::Params params;
    params.text_array(names).text_array(ids);
    using Found = std::vector<std::optional<core::EndpointId>>;
    pg::run_statement<Found>(reading_, kFind, std::move(params), std::move(done), [](const pg::Rows& rows) {
        Found found;
        for (int row = 0; row < rows.size(); ++row) {
            found.push_back(rows.is_null(row, 0) ? std::nullopt : std::optional(rows.bigint(row, 0)));
        }
        return found;
    });
}

}  // namespace messaging::repository
