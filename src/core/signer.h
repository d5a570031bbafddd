// Signer: signs requests with one secret of an endpoint. A port; crypto implements it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/clock.h"

namespace messaging::core {

// The signatures of Standard Webhooks 1.0.0: v1 = HMAC-SHA256, v1a = ed25519.
enum class SigningKind { kV1, kV1a };

constexpr std::string_view word_of(SigningKind kind) { return kind == SigningKind::kV1 ? "v1" : "v1a"; }

constexpr std::optional<SigningKind> signing_kind_of(std::string_view word) {
    if (word == word_of(SigningKind::kV1)) return SigningKind::kV1;
    if (word == word_of(SigningKind::kV1a)) return SigningKind::kV1a;
    return std::nullopt;  // "none"
}

// One thread at a time.
class Signer {
public:
    virtual ~Signer() = default;
    // "v1,<base64>" or "v1a,<base64>": an element of the header webhook-signature, over `id.timestamp.body`.
    virtual std::string sign(std::string_view id, std::string_view timestamp, std::string_view body) const = 0;
};

// A signer for as long as its secret is valid.
struct ValidSigner {
    std::shared_ptr<const Signer> signer;
    std::optional<WallTime> expires_at{};  // nullopt: the current secret
};

}  // namespace messaging::core
