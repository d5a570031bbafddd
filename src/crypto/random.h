// Random bytes for keys and nonces.
#pragma once

#include <cstddef>

#include "core/result.h"
#include "core/secret_text.h"

namespace messaging::crypto {

// kInternal: the operating system gives none.
core::Result<core::SecretText> random_bytes(std::size_t count);

}  // namespace messaging::crypto
