// Sealer: secrets at rest, by AES-256-GCM with a key that is not in the database.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.h"
#include "core/secret_text.h"

namespace messaging::crypto {

inline constexpr std::size_t kSealingKeyBytes = 32;

struct Opened {
    core::SecretText plain;
    bool by_first_key = true;  // false: another key sealed it; that key can be dropped once the secret is sealed anew
};

class Sealer {
public:
    Sealer() = default;  // seals nothing
    // Each of kSealingKeyBytes; the first seals, all open.
    explicit Sealer(std::vector<core::SecretText> keys) : keys_(std::move(keys)) {}

    bool has_key() const { return !keys_.empty(); }
    // Returns text that begins with kSealedPrefix and is different at each call. `associated` names what the secret belongs to:
    // open() needs the same `associated`. Precondition: has_key(). kInternal: no random bytes.
    core::Result<std::string> seal(std::string_view plain, std::string_view associated) const;
    // kInvalid: none of the keys has sealed it for `associated`, or it was changed.
    core::Result<Opened> open(std::string_view sealed, std::string_view associated) const;

private:
    std::vector<core::SecretText> keys_;
};

bool is_sealed(std::string_view text);

}  // namespace messaging::crypto
