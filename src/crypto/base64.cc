// Base64 by OpenSSL's EVP_EncodeBlock and EVP_DecodeBlock.
#include "crypto/base64.h"

#include <openssl/crypto.h>

#include <cstddef>

#include "crypto/handles.h"

namespace messaging::crypto {

std::string base64_encoded(std::string_view bytes) {
    std::string text((bytes.size() + 2) / 3 * 4 + 1, '\0');  // OpenSSL writes a NUL behind it
    EVP_EncodeBlock(octets(text.data()), octets(bytes.data()), static_cast<int>(bytes.size()));
    text.pop_back();
    return text;
}

std::optional<core::SecretText> base64_decoded(std::string_view text) {
    if (text.size() % 4 != 0 || text.size() > (1u << 20)) return std::nullopt;
    if (text.empty()) return core::SecretText();
    std::string bytes(text.size() / 4 * 3, '\0');
    const int length = EVP_DecodeBlock(octets(bytes.data()), octets(text.data()), static_cast<int>(text.size()));
    std::optional<core::SecretText> decoded;
    if (length >= 0) {
        // OpenSSL decodes each '=' as zero bits, and counts them.
        const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
        decoded.emplace(std::string_view(bytes).substr(0, static_cast<std::size_t>(length) - padding));
    }
    OPENSSL_cleanse(bytes.data(), bytes.size());
    // OpenSSL forgives blanks around the text and bits left over.
    if (decoded) {
        std::string again = base64_encoded(decoded->view());
        if (again != text) decoded.reset();
        OPENSSL_cleanse(again.data(), again.size());
    }
    return decoded;
}

}  // namespace messaging::crypto
