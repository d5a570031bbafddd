// SHA-256 by OpenSSL.
#include "crypto/digest.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <array>

namespace messaging::crypto {
namespace {

using Digest = std::array<unsigned char, SHA256_DIGEST_LENGTH>;

Digest sha256(std::string_view text) {
    Digest digest{};
    SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
    return digest;
}

}  // namespace

std::string sha256_hex(std::string_view text) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string hex;
    for (const unsigned char byte : sha256(text)) {
        hex.push_back(kDigits[byte >> 4]);
        hex.push_back(kDigits[byte & 15]);
    }
    return hex;
}

bool constant_time_equal(std::string_view given, std::string_view expected) {
    const Digest left = sha256(given);
    const Digest right = sha256(expected);
    return CRYPTO_memcmp(left.data(), right.data(), left.size()) == 0;
}

}  // namespace messaging::crypto
