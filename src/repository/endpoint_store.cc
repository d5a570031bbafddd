// Reads the endpoints, completes their secrets, and writes the row that WEBHOOK_URL sets.
#include "repository/endpoint_store.h"

#include <utility>

#include "pg/run_statement.h"
#include "repository/endpoint_ref.h"

namespace messaging::repository {
namespace {

// Of creating or sealing, and reading again; more are needed only where others change the rows meanwhile.
constexpr int kRounds = 3;

// Not where somebody has changed the row since.
constexpr pg::Statement kSealSecrets{"seal_secrets", R"sql(
UPDATE messaging._endpoint_secret k SET secret = n.sealed
FROM unnest($1::bigint[], $2::text[], $3::text[]) AS n (secret_id, unsealed, sealed)
WHERE k.secret_id = n.secret_id AND k.secret = n.unsealed)sql"};

constexpr pg::Statement kSetDefaultEndpoint{"set_default_endpoint", R"sql(
WITH before AS MATERIALIZED (SELECT url FROM messaging.endpoints WHERE name = 'default'),
changed AS (
    UPDATE messaging.endpoints SET url = $1::text, max_in_flight = $2::int
    WHERE name = 'default' AND (url, max_in_flight) IS DISTINCT FROM ($1::text, $2::int))
SELECT coalesce((SELECT url FROM before), ''))sql"};

core::Error no_secret(const SecretOwner& owner) {
    return {core::ErrorKind::kInternal, "endpoint " + std::to_string(owner.first) + " has no secret of kind " +
                                            std::string(core::word_of(owner.second)) +
                                            ", and none could be stored: look for a trigger on messaging._endpoint_secret"};
}

}  // namespace

void PgEndpointStore::load_endpoints(Completion done) { load({&EndpointLoader::all(), {}}, {}, kRounds, std::move(done)); }

void PgEndpointStore::load_endpoint(const service::EndpointRef& endpoint, core::Completion<core::Endpoint> done) {
    load({&EndpointLoader::one(), ref_params(endpoint)}, {}, kRounds,
         [done = std::move(done)](core::Result<std::vector<core::Endpoint>> found) {
             if (!found) return done(found.error());
             if (found->empty()) return done(no_such_endpoint());
             done(std::move(found->front()));
         });
}

void PgEndpointStore::load(const pg::Step& read, pg::Steps before, int more_rounds, Completion done) {
    before.push_back(read);
    pg::run_steps<LoadedEndpoints>(
        session_, before,
        [this, read, more_rounds, done = std::move(done)](core::Result<LoadedEndpoints> loaded) mutable {
            if (!loaded) return done(loaded.error());
            on_loaded(read, std::move(loaded.value()), more_rounds, std::move(done));
        },
        [this](const std::vector<pg::Rows>& rows) { return loader_.read(rows.back()); });
}

void PgEndpointStore::on_loaded(const pg::Step& read, LoadedEndpoints loaded, int more_rounds, Completion done) {
    if (!loaded.without_secret.empty()) {
        if (more_rounds == 0) return done(no_secret(loaded.without_secret.front()));
        auto steps = creating_steps(loader_.sealer(), loaded.without_secret);
        if (!steps) return done(steps.error());
        return load(read, std::move(steps.value()), more_rounds - 1, std::move(done));
    }
    if (!loaded.unsealed.empty() && more_rounds > 0) {
        pg::Params params;
        params.bigint_array(loaded.unsealed).text_array(loaded.unsealed_as).text_array(loaded.sealed_as);
        return load(read, {{&kSealSecrets, std::move(params)}}, more_rounds - 1, std::move(done));
    }
    done(std::move(loaded.endpoints));
}

void PgEndpointStore::set_default_endpoint(const std::string& url, int max_in_flight, core::Completion<std::string> done) {
    pg::Params params;
    params.text(url).integer(max_in_flight);
    pg::run_statement<std::string>(session_, kSetDefaultEndpoint, std::move(params), std::move(done),
                                   [](const pg::Rows& rows) { return std::string(rows.text(0, 0)); });
}

}  // namespace messaging::repository
