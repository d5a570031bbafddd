// PgSecretStore: reading and rotating the secrets of one endpoint; implements service::SecretStore.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "core/completion.h"
#include "crypto/sealer.h"
#include "pg/connection.h"
#include "repository/stored_secret.h"
#include "service/secret_store.h"

namespace messaging::repository {

// Loop thread only. The session must outlive the store, and the store must outlive the calls that are under way.
class PgSecretStore : public service::SecretStore {
public:
    explicit PgSecretStore(pg::Connection& session, crypto::Sealer sealer = {}) : session_(session), sealer_(std::move(sealer)) {}

    void read_secrets(core::EndpointId endpoint, core::Completion<service::EndpointSecrets> done) override;
    void rotate(core::EndpointId endpoint, std::optional<std::string> given, std::chrono::seconds overlap,
                core::Completion<service::EndpointSecrets> done) override;

private:
    using Completion = core::Completion<service::EndpointSecrets>;
    void create_and_read(const SecretOwner& owner, Completion done);
    void rotate_to(const SecretOwner& owner, std::string_view secret, std::chrono::seconds overlap, Completion done);

    pg::Connection& session_;
    crypto::Sealer sealer_;
};

}  // namespace messaging::repository
