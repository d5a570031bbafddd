// The secrets of Standard Webhooks 1.0.0 as text: whsec_ for v1, whsk_ and whpk_ for v1a.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "core/result.h"
#include "core/secret_text.h"
#include "core/signer.h"

namespace messaging::crypto {

inline constexpr std::string_view kSharedSecretPrefix = "whsec_";  // base64 of 24 to 64 bytes
inline constexpr std::string_view kPrivateKeyPrefix = "whsk_";     // base64 of the seed and the public key, 32 bytes each
inline constexpr std::string_view kPublicKeyPrefix = "whpk_";

// 32 random bytes: the key of v1, the seed of v1a. kInternal: no random bytes.
core::Result<core::SecretText> new_secret(core::SigningKind kind);

// kInvalid says how such a secret is written, and quotes nothing of it.
core::Result<std::shared_ptr<const core::Signer>> make_signer(core::SigningKind kind, std::string_view secret);

// "whpk_…", which verifies what `secret` signs. Precondition: make_signer() takes it as a v1a secret.
std::string public_key_of(std::string_view secret);

}  // namespace messaging::crypto
