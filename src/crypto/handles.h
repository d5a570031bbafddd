// OpenSSL's objects as unique_ptrs.
#pragma once

#include <openssl/evp.h>

#include <memory>

namespace messaging::crypto {

template <auto Free>
struct Freed {
    template <typename T>
    void operator()(T* object) const noexcept {
        Free(object);
    }
};

using CipherContext = std::unique_ptr<EVP_CIPHER_CTX, Freed<&EVP_CIPHER_CTX_free>>;
using DigestContext = std::unique_ptr<EVP_MD_CTX, Freed<&EVP_MD_CTX_free>>;
using Mac = std::unique_ptr<EVP_MAC, Freed<&EVP_MAC_free>>;
using MacContext = std::unique_ptr<EVP_MAC_CTX, Freed<&EVP_MAC_CTX_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freed<&EVP_PKEY_free>>;

inline const unsigned char* octets(const char* bytes) { return reinterpret_cast<const unsigned char*>(bytes); }
inline unsigned char* octets(char* bytes) { return reinterpret_cast<unsigned char*>(bytes); }

}  // namespace messaging::crypto
