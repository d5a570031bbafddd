// Secrets of endpoints as rows of messaging._endpoint_secret: made, sealed and opened.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/message.h"
#include "core/result.h"
#include "core/signer.h"
#include "crypto/sealer.h"
#include "pg/connection.h"

namespace messaging::repository {

// An endpoint and the kind of the secret that it needs.
using SecretOwner = std::pair<core::EndpointId, core::SigningKind>;

// What the column `secret` holds of it: sealed for its owner, or as it is where there is no key.
core::Result<std::string> to_stored(const crypto::Sealer& sealer, const SecretOwner& owner, std::string_view secret);

// The secret that the column holds. kInternal, with a message that says what to do: no key opens it.
core::Result<crypto::Opened> from_stored(const crypto::Sealer& sealer, const SecretOwner& owner, std::string_view stored);

// True where a key is set and has not sealed it, or another key than the first has.
bool should_be_sealed(const crypto::Sealer& sealer, std::string_view stored, const crypto::Opened& opened);

// The steps that make a new secret for each owner that has no current one. Where another process has made one first, that one
// stays. Run these steps, and behind them the step that reads the secrets, as one transaction. Its commit waits for the disk,
// because a secret that a crash takes back may have signed requests, and been shown, already.
core::Result<pg::Steps> creating_steps(const crypto::Sealer& sealer, const std::vector<SecretOwner>& owners);

}  // namespace messaging::repository
