// Random bytes by OpenSSL, which seeds itself from the operating system.
#include "crypto/random.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <string>

#include "crypto/handles.h"

namespace messaging::crypto {

core::Result<core::SecretText> random_bytes(std::size_t count) {
    std::string bytes(count, '\0');
    if (RAND_bytes(octets(bytes.data()), static_cast<int>(count)) != 1) {
        return core::Error{core::ErrorKind::kInternal, "the operating system gives no random bytes: see getrandom(2)"};
    }
    core::SecretText random(bytes);
    OPENSSL_cleanse(bytes.data(), bytes.size());
    return random;
}

}  // namespace messaging::crypto
