// SecretStore: the secrets that an endpoint's requests are signed with. A port; repository implements it.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "core/completion.h"
#include "core/message.h"
#include "core/signer.h"

namespace messaging::service {

inline constexpr std::chrono::seconds kDefaultSecretOverlap = std::chrono::hours(24);
inline constexpr std::chrono::seconds kMaxSecretOverlap = std::chrono::hours(24 * 7);
inline constexpr std::size_t kMaxPreviousSecrets = 10;  // that are still valid

// What a receiver needs to verify requests. Of v1a it is the public key: the private one is never answered.
struct EndpointSecrets {
    core::SigningKind kind = core::SigningKind::kV1;
    std::string secret;                           // v1: "whsec_…"; v1a: empty
    std::string public_key;                       // v1a: "whpk_…"; v1: empty
    std::vector<std::string> previous_expire_at;  // RFC 3339 UTC, the newest secret first
};

// Loop thread only; every completion as in core/completion.h. Both calls fail with kNotFound (no such endpoint), with kConflict
// (its requests are not signed), and with kInternal where a secret cannot be opened.
class SecretStore {
public:
    virtual ~SecretStore() = default;
    // Makes the secret where the endpoint has none yet.
    virtual void read_secrets(core::EndpointId endpoint, core::Completion<EndpointSecrets> done) = 0;
    // Gives the endpoint `given` (whsec_… for v1, whsk_… for v1a), or a new one. The secret that is current until then signs for
    // `overlap` more, and the earlier ones until they expire; 0 ends all of them at once. Answers what is valid then. kInvalid:
    // `given` or `overlap` is wrong; nothing of a secret is quoted. kConflict also where kMaxPreviousSecrets are valid already,
    // and there is an overlap.
    virtual void rotate(core::EndpointId endpoint, std::optional<std::string> given, std::chrono::seconds overlap,
                        core::Completion<EndpointSecrets> done) = 0;
};

}  // namespace messaging::service
