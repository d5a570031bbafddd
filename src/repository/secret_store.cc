// Reads and rotates the secrets of one endpoint.
#include "repository/secret_store.h"

#include <string_view>
#include <utility>

#include "crypto/signing_secret.h"
#include "pg/run_statement.h"

namespace messaging::repository {
namespace {

// A row for the endpoint, or for each of its valid secrets, the newest first.
constexpr pg::Statement kReadSecrets{"read_secrets", R"sql(
SELECT e.signing, k.secret, to_char(k.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
FROM messaging.endpoints e
LEFT JOIN messaging._endpoint_secret k ON k.endpoint_id = e.id AND k.kind = e.signing AND (k.expires_at IS NULL OR k.expires_at > now())
WHERE e.id = $1::bigint
ORDER BY k.secret_id DESC)sql"};

constexpr pg::Statement kRotateSecret{"rotate_secret", R"sql(
SELECT messaging._rotate_secret($1::bigint, $2::text, $3::text, $4::integer))sql"};

pg::Params id_params(core::EndpointId endpoint) {
    pg::Params params;
    params.bigint(endpoint);
    return params;
}

core::Error not_found() { return {core::ErrorKind::kNotFound, "no such endpoint"}; }

core::Error changed_meanwhile() {
    return {core::ErrorKind::kUnavailable, "the endpoint was changed at the same time; repeat the request"};
}

// The kind of an endpoint's secrets, by the rows of kReadSecrets.
core::Result<core::SigningKind> read_kind(const pg::Rows& rows) {
    if (rows.size() == 0) return not_found();
    if (const auto kind = core::signing_kind_of(rows.text(0, 0))) return *kind;
    return core::Error{core::ErrorKind::kConflict, "the endpoint's requests are not signed: set its signing to v1 or v1a first"};
}

core::Result<service::EndpointSecrets> read_answer(const pg::Rows& rows, core::EndpointId endpoint,
                                                   const crypto::Sealer& sealer) {
    const auto kind = read_kind(rows);
    if (!kind) return kind.error();
    service::EndpointSecrets secrets;
    secrets.kind = kind.value();
    for (int row = 0; row < rows.size(); ++row) {
        if (auto expires_at = rows.optional_text(row, 2)) {
            secrets.previous_expire_at.push_back(std::move(*expires_at));
        } else if (!rows.is_null(row, 1)) {
            const auto opened = from_stored(sealer, {endpoint, kind.value()}, rows.text(row, 1));
            if (!opened) return opened.error();
            const std::string_view secret = opened->plain.view();
            if (kind.value() == core::SigningKind::kV1) {
                secrets.secret = secret;
            } else {
                secrets.public_key = crypto::public_key_of(secret);
            }
        }
    }
    return secrets;
}

core::Result<core::SecretText> checked_or_new(core::SigningKind kind, const std::optional<std::string>& given) {
    if (!given) return crypto::new_secret(kind);
    const auto signer = crypto::make_signer(kind, *given);
    if (!signer) return signer.error();
    return core::SecretText(*given);
}

core::Result<core::Unit> read_rotation(const pg::Rows& rows) {
    const std::string_view answer = rows.text(0, 0);
    if (answer == "rotated") return core::Unit{};
    if (answer == "no such endpoint") return not_found();
    if (answer == "another kind") return changed_meanwhile();
    return core::Error{core::ErrorKind::kConflict,
                       "the endpoint has " + std::to_string(service::kMaxPreviousSecrets) +
                           " previous secrets that are still valid: wait until one expires, or rotate "
                           "with overlap_seconds 0, which ends all of them"};
}

}  // namespace

void PgSecretStore::read_secrets(core::EndpointId endpoint, Completion done) {
    pg::run_statement<service::EndpointSecrets>(
        session_, kReadSecrets, id_params(endpoint),
        [this, endpoint, done = std::move(done)](core::Result<service::EndpointSecrets> secrets) {
            if (!secrets || !secrets->secret.empty() || !secrets->public_key.empty()) return done(std::move(secrets));
            create_and_read({endpoint, secrets->kind}, done);
        },
        [this, endpoint](const pg::Rows& rows) { return read_answer(rows, endpoint, sealer_); });
}

void PgSecretStore::create_and_read(const SecretOwner& owner, Completion done) {
    auto steps = creating_steps(sealer_, {owner});
    if (!steps) return done(steps.error());
    steps->push_back({&kReadSecrets, id_params(owner.first)});
    pg::run_steps<service::EndpointSecrets>(
        session_, steps.value(), std::move(done),
        [this, endpoint = owner.first](const std::vector<pg::Rows>& rows) -> core::Result<service::EndpointSecrets> {
            auto secrets = read_answer(rows.back(), endpoint, sealer_);
            if (secrets && secrets->secret.empty() && secrets->public_key.empty()) return changed_meanwhile();
            return secrets;
        });
}

void PgSecretStore::rotate(core::EndpointId endpoint, std::optional<std::string> given, std::chrono::seconds overlap,
                           Completion done) {
    pg::run_statement<core::SigningKind>(
        session_, kReadSecrets, id_params(endpoint),
        [this, endpoint, given = std::move(given), overlap, done = std::move(done)](const core::Result<core::SigningKind>& kind) {
            if (!kind) return done(kind.error());
            if (overlap < std::chrono::seconds(0) || overlap > service::kMaxSecretOverlap) {
                return done(core::Error{core::ErrorKind::kInvalid, "overlap_seconds must be a number from 0 to " +
                                                                       std::to_string(service::kMaxSecretOverlap.count())});
            }
            const auto secret = checked_or_new(kind.value(), given);
            if (!secret) return done(secret.error());
            rotate_to({endpoint, kind.value()}, secret->view(), overlap, done);
        },
        read_kind);
}

void PgSecretStore::rotate_to(const SecretOwner& owner, std::string_view secret, std::chrono::seconds overlap, Completion done) {
    const auto stored = to_stored(sealer_, owner, secret);
    if (!stored) return done(stored.error());
    pg::Params params;
    params.bigint(owner.first).text(core::word_of(owner.second)).text(stored.value()).integer(static_cast<int>(overlap.count()));
    pg::run_steps<service::EndpointSecrets>(
        session_, {{&kRotateSecret, std::move(params)}, {&kReadSecrets, id_params(owner.first)}}, std::move(done),
        [this, endpoint = owner.first](const std::vector<pg::Rows>& rows) -> core::Result<service::EndpointSecrets> {
            const auto rotated = read_rotation(rows[0]);
            if (!rotated) return rotated.error();
            return read_answer(rows[1], endpoint, sealer_);
        });
}

}  // namespace messaging::repository
