// Takes, reads and deletes keys.
#include "repository/idempotency.h"

#include <utility>

#include "core/sqlstate.h"
#include "pg/run_statement.h"

namespace messaging::repository {
namespace {

// Waits for a request with the same key that is still open, for as long as lock_timeout allows. A key that is older than a day is
// taken as a new one.
constexpr pg::Statement kTakeKey{"take_key", R"sql(
INSERT INTO messaging._idempotency_key AS k (scope, key, fingerprint, status) VALUES ($1::text, $2::text, $3::text, $4::integer)
ON CONFLICT (scope, key) DO UPDATE SET fingerprint = excluded.fingerprint, status = excluded.status, body = NULL, created_at = now()
WHERE k.created_at < now() - interval '24 hours')sql"};

constexpr pg::Statement kReadKey{"read_key", R"sql(
SELECT fingerprint = $3::text, status, body FROM messaging._idempotency_key WHERE scope = $1::text AND key = $2::text)sql"};

// After the key is taken, and without waiting for a lock: so no two requests can wait for each other.
constexpr pg::Statement kForgetOldKeys{"forget_old_keys", R"sql(
DELETE FROM messaging._idempotency_key WHERE (scope, key) IN (
    SELECT scope, key FROM messaging._idempotency_key
    WHERE created_at < now() - interval '24 hours' ORDER BY created_at LIMIT 100 FOR UPDATE SKIP LOCKED))sql"};

core::Result<service::StoredResponse> read_stored(const std::vector<pg::Rows>& rows) {
    const pg::Rows& taken = rows[0];
    const pg::Rows& found = rows[2];
    // A key of almost a day was not taken, and another request has deleted it before it was read.
    if (found.size() == 0) return core::Error{core::ErrorKind::kUnavailable, "the key was forgotten meanwhile"};
    if (!found.boolean(0, 0)) return core::Error{core::ErrorKind::kConflict, "the key was used with another body"};
    return service::StoredResponse{found.integer(0, 1), std::string(found.text(0, 2)), taken.affected() == 0};
}

}  // namespace

void add_key_params(pg::Params& params, const service::IdempotencyKey& key, const service::ResponseTemplate& response) {
    params.text(key.scope).text(key.key).text_array(response.parts);
}

void run_once(pg::Connection& connection, const service::IdempotencyKey& key, const service::ResponseTemplate& response,
              pg::Step create, core::Completion<service::StoredResponse> done) {
    pg::Params read;
    read.text(key.scope).text(key.key).text(key.fingerprint);
    pg::Params take = read;
    take.integer(response.status);
    pg::run_steps<service::StoredResponse>(
        connection, {{&kTakeKey, std::move(take)}, std::move(create), {&kReadKey, std::move(read)}, {&kForgetOldKeys, {}}},
        [done = std::move(done)](core::Result<service::StoredResponse> result) {
            if (!result && result.error().sqlstate == core::kLockNotAvailable) {
                return done(
                    core::Error{core::ErrorKind::kConflict, "the key's first request is still open", core::kLockNotAvailable});
            }
            done(std::move(result));
        },
        read_stored);
}

}  // namespace messaging::repository
