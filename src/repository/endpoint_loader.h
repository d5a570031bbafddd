// EndpointLoader: the rows of the endpoints and their secrets as endpoints with signers.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/message.h"
#include "core/result.h"
#include "core/secret_text.h"
#include "crypto/sealer.h"
#include "pg/connection.h"
#include "pg/rows.h"
#include "repository/stored_secret.h"

namespace messaging::repository {

struct LoadedEndpoints {
    std::vector<core::Endpoint> endpoints;
    std::vector<SecretOwner> without_secret;  // in the order of their ids
    // Secrets to be sealed with the first key, as three columns: the row, the text that it holds, and the text that it shall
    // hold.
    std::vector<std::int64_t> unsealed;
    std::vector<std::string> unsealed_as;
    std::vector<std::string> sealed_as;
};

// Endpoints are read every two seconds: a signer is made once, and kept while its row is there unchanged.
class EndpointLoader {
public:
    explicit EndpointLoader(crypto::Sealer sealer) : sealer_(std::move(sealer)) {}

    static const pg::Statement& all();  // without parameters
    static const pg::Statement& one();  // ref_params()
    // An endpoint is unusable where a secret of it cannot be opened or used.
    LoadedEndpoints read(const pg::Rows& rows);
    const crypto::Sealer& sealer() const { return sealer_; }

private:
    struct Kept {
        core::SecretText stored;
        std::shared_ptr<const core::Signer> signer;
        std::string sealed_as;             // what the row shall hold instead; empty = it stays
        bool seen_with_first_key = false;  // by one of the reads, sealed with it
    };
    core::Result<Kept> keep(std::int64_t secret_id, const SecretOwner& owner, std::string_view stored) const;

    crypto::Sealer sealer_;
    std::unordered_map<std::int64_t, Kept> kept_;  // by secret_id, of the last read()
};

}  // namespace messaging::repository
