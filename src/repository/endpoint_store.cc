// Reads the endpoints, completes their secrets, and writes the row that WEBHOOK_URL sets.
#include "repository/endpoint_store.h"

#include <algorithm>
#include <string>
#include <utility>

#include "pg/run_statement.h"
#include "repository/endpoint_ref.h"

namespace messaging::repository {
namespace {

// Rounds of creating or sealing secrets and reading again. More rounds are needed only if others change the rows meanwhile.
constexpr int kRounds = 3;

// Leaves out rows that somebody has changed since, or has locked.
constexpr pg::Statement kSealSecrets{"seal_secrets", R"sql(
WITH locked AS MATERIALIZED (
    SELECT l.secret_id, n.unsealed, n.sealed
    FROM unnest($1::bigint[], $2::text[], $3::text[]) AS n (secret_id, unsealed, sealed)
    CROSS JOIN LATERAL (SELECT f.secret_id FROM messaging._endpoint_secret f WHERE f.secret_id = n.secret_id FOR UPDATE SKIP LOCKED) l)
UPDATE messaging._endpoint_secret k SET secret = l.sealed
FROM locked l WHERE k.secret_id = l.secret_id AND k.secret = l.unsealed)sql"};

constexpr pg::Statement kSetDefaultEndpoint{"set_default_endpoint", R"sql(
WITH before AS MATERIALIZED (SELECT url FROM messaging.endpoints WHERE name = 'default'),
changed AS (
    UPDATE messaging.endpoints SET url = $1::text, max_in_flight = $2::int
    WHERE name = 'default' AND (url, max_in_flight) IS DISTINCT FROM ($1::text, $2::int))
SELECT coalesce((SELECT url FROM before), ''))sql"};

// `refusal`: PostgreSQL's reason; empty = it has made no row and given no reason.
void set_unusable(LoadedEndpoints& loaded, const std::string& refusal) {
    for (const SecretOwner& owner : loaded.without_secret) {
        const auto endpoint = std::lower_bound(loaded.endpoints.begin(), loaded.endpoints.end(), owner.first,
                                               [](const core::Endpoint& one, core::EndpointId id) { return one.id < id; });
        endpoint->unusable =
            "endpoint " + std::to_string(owner.first) + " has no secret of kind " + std::string(core::word_of(owner.second)) +
            ", and none could be stored: " +
            (refusal.empty() ? "another session has the endpoint locked, or a trigger on messaging._endpoint_secret drops it"
                             : refusal);
    }
}

}  // namespace

void PgEndpointStore::load_endpoints(Completion done) { load({{&EndpointLoader::all(), {}}, kRounds}, std::move(done)); }

void PgEndpointStore::load_endpoint(const service::EndpointRef& endpoint, core::Completion<core::Endpoint> done) {
    load({{&EndpointLoader::one(), ref_params(endpoint)}, kRounds},
         [done = std::move(done)](core::Result<std::vector<core::Endpoint>> found) {
             if (!found) return done(found.error());
             if (found->empty()) return done(no_such_endpoint());
             if (!found->front().unusable.empty())
                 return done(core::Error{core::ErrorKind::kInternal, found->front().unusable, ""});
             done(std::move(found->front()));
         });
}

void PgEndpointStore::load(Round round, Completion done) {
    const pg::Steps read{round.read};
    pg::run_steps<LoadedEndpoints>(
        session_, read,
        [this, round = std::move(round), done = std::move(done)](core::Result<LoadedEndpoints> loaded) mutable {
            if (!loaded) return done(loaded.error());
            on_loaded(std::move(loaded.value()), std::move(round), std::move(done));
        },
        [this](const std::vector<pg::Rows>& rows) { return loader_.read(rows.back()); });
}

void PgEndpointStore::on_loaded(LoadedEndpoints loaded, Round round, Completion done) {
    const bool again = round.more > 0;
    if (!loaded.without_secret.empty() && again) return create_secrets(loaded.without_secret, std::move(round), std::move(done));
    set_unusable(loaded, round.refusal);
    if (!loaded.unsealed.empty() && again) return seal_secrets(std::move(loaded), std::move(round), std::move(done));
    done(std::move(loaded.endpoints));
}

// What PostgreSQL refuses is tried again at the next reading: until then the secrets are used as they are.
void PgEndpointStore::seal_secrets(LoadedEndpoints loaded, Round round, Completion done) {
    pg::Params params;
    params.bigint_array(loaded.unsealed).text_array(loaded.unsealed_as).text_array(loaded.sealed_as);
    pg::run_statement<core::Unit>(
        session_, kSealSecrets, std::move(params),
        [this, loaded = std::move(loaded), round = std::move(round),
         done = std::move(done)](const core::Result<core::Unit>& sealed) mutable {
            if (sealed) return load({round.read, round.more - 1}, std::move(done));
            if (sealed.error().kind == core::ErrorKind::kUnavailable) return done(sealed.error());
            done(std::move(loaded.endpoints));
        },
        pg::nothing);
}

// What PostgreSQL refuses concerns the endpoints without a secret: all are read then, and no more secrets are created.
void PgEndpointStore::create_secrets(const std::vector<SecretOwner>& owners, Round round, Completion done) {
    const auto steps = creating_steps(loader_.sealer(), owners);
    if (!steps) return done(steps.error());
    pg::run_steps<core::Unit>(
        session_, steps.value(),
        [this, round = std::move(round), done = std::move(done)](const core::Result<core::Unit>& created) mutable {
            if (created) return load({round.read, round.more - 1}, std::move(done));
            if (created.error().kind == core::ErrorKind::kUnavailable) return done(created.error());
            load({round.read, 0, created.error().message}, std::move(done));
        },
        [](const std::vector<pg::Rows>&) { return core::Unit{}; });
}

void PgEndpointStore::set_default_endpoint(const std::string& url, int max_in_flight, core::Completion<std::string> done) {
    pg::Params params;
    params.text(url).integer(max_in_flight);
    pg::run_statement<std::string>(session_, kSetDefaultEndpoint, std::move(params), std::move(done),
                                   [](const pg::Rows& rows) { return std::string(rows.text(0, 0)); });
}

}  // namespace messaging::repository
