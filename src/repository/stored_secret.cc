// The forms of a stored secret, and the statements that create secrets.
#include "repository/stored_secret.h"

#include <cstdint>

#include "crypto/signing_secret.h"

namespace messaging::repository {
namespace {

// The claim session commits without waiting for the disk. Claims wait for it while it waits for a lock.
constexpr pg::Statement kWaitForDisk{"wait_for_disk", R"sql(
SELECT set_config('synchronous_commit', 'on', true), set_config('lock_timeout', '250ms', true))sql"};

// The lock keeps the endpoint from being deleted meanwhile, which would leave its secret behind. An endpoint that another session
// has locked gets its secret later: it must not keep the others from theirs. Several processes create at once: in the order of
// the ids, so that none waits for another in a circle.
constexpr pg::Statement kCreateSecrets{"create_secrets", R"sql(
INSERT INTO messaging._endpoint_secret (endpoint_id, kind, secret)
SELECT e.id, n.kind, n.secret
FROM unnest($1::bigint[], $2::text[], $3::text[]) AS n (endpoint_id, kind, secret) JOIN messaging.endpoints e ON e.id = n.endpoint_id
FOR KEY SHARE OF e SKIP LOCKED
ON CONFLICT DO NOTHING)sql"};

// A row that was copied to another endpoint, or to another kind, does not open.
std::string association(const SecretOwner& owner) {
    return "endpoint " + std::to_string(owner.first) + " " + std::string(core::word_of(owner.second));
}

}  // namespace

core::Result<std::string> to_stored(const crypto::Sealer& sealer, const SecretOwner& owner, std::string_view secret) {
    if (!sealer.has_key()) return std::string(secret);
    return sealer.seal(secret, association(owner));
}

core::Result<crypto::Opened> from_stored(const crypto::Sealer& sealer, const SecretOwner& owner, std::string_view stored) {
    if (!crypto::is_sealed(stored)) return crypto::Opened{core::SecretText(stored), false};
    auto opened = sealer.open(stored, association(owner));
    if (opened) return opened;
    const std::string id = std::to_string(owner.first);
    return core::Error{
        core::ErrorKind::kInternal,
        "the secret of endpoint " + id +
            " cannot be opened: add the key that sealed it to SECRETS_KEY, or have a new secret made by DELETE FROM "
            "messaging._endpoint_secret WHERE endpoint_id = " +
            id};
}

bool should_be_sealed(const crypto::Sealer& sealer, std::string_view stored, const crypto::Opened& opened) {
    return sealer.has_key() && (!crypto::is_sealed(stored) || !opened.by_first_key);
}

core::Result<pg::Steps> creating_steps(const crypto::Sealer& sealer, const std::vector<SecretOwner>& owners) {
    std::vector<std::int64_t> ids;
    std::vector<std::string> kinds;
    std::vector<std::string> secrets;
    for (const SecretOwner& owner : owners) {
        const auto secret = crypto::new_secret(owner.second);
        if (!secret) return secret.error();
        auto stored = to_stored(sealer, owner, secret->view());
        if (!stored) return stored.error();
        ids.push_back(owner.first);
        kinds.emplace_back(core::word_of(owner.second));
        secrets.push_back(std::move(stored.value()));
    }
    pg::Params params;
    params.bigint_array(ids).text_array(kinds).text_array(secrets);
    return pg::Steps{{&kWaitForDisk, {}}, {&kCreateSecrets, std::move(params)}};
}

}  // namespace messaging::repository
