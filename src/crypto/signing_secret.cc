// Reads and makes secrets, and signs with them.
#include "crypto/signing_secret.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>

#include <array>
#include <cstddef>
#include <cstdlib>
#include <optional>
#include <utility>

#include "crypto/base64.h"
#include "crypto/handles.h"
#include "crypto/random.h"

namespace messaging::crypto {
namespace {

constexpr std::size_t kMinSharedBytes = 24;
constexpr std::size_t kMaxSharedBytes = 64;
constexpr std::size_t kNewBytes = 32;
constexpr std::size_t kSeedBytes = 32;
constexpr std::size_t kPublicKeyBytes = 32;
constexpr std::size_t kMacBytes = 32;
constexpr std::size_t kSignatureBytes = 64;

template <std::size_t N>
std::string_view as_text(const std::array<unsigned char, N>& bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Once a key is prepared, only a lack of memory can make OpenSSL fail: as everywhere, the process ends then.
void require(bool done) {
    if (!done) std::abort();
}

core::Error out_of_memory() { return {core::ErrorKind::kInternal, "OpenSSL cannot prepare a signing key: out of memory"}; }

// The bytes behind the prefix; nullopt where the text is not written so.
std::optional<core::SecretText> bytes_of(std::string_view secret, std::string_view prefix) {
    if (!secret.starts_with(prefix)) return std::nullopt;
    return base64_decoded(secret.substr(prefix.size()));
}

std::string element_of(core::SigningKind kind, std::string_view signature) {
    return std::string(core::word_of(kind)).append(",").append(base64_encoded(signature));
}

// HMAC-SHA256. To copy the context of a key and sign a body of 100 bytes takes 0.7 us, to prepare the key each time 2.1 us
// (tests/bench/pure/signing_bench.cc).
class SharedSecretSigner : public core::Signer {
public:
    explicit SharedSecretSigner(MacContext keyed) : keyed_(std::move(keyed)) {}

    static std::shared_ptr<const core::Signer> make(std::string_view key) {
        const Mac mac(EVP_MAC_fetch(nullptr, OSSL_MAC_NAME_HMAC, nullptr));
        MacContext keyed(mac ? EVP_MAC_CTX_new(mac.get()) : nullptr);
        std::string digest = "SHA256";
        const std::array parameters{OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest.data(), 0),
                                    OSSL_PARAM_construct_end()};
        if (!keyed || EVP_MAC_init(keyed.get(), octets(key.data()), key.size(), parameters.data()) != 1) return nullptr;
        return std::make_shared<SharedSecretSigner>(std::move(keyed));
    }

    std::string sign(std::string_view id, std::string_view timestamp, std::string_view body) const override {
        const MacContext context(EVP_MAC_CTX_dup(keyed_.get()));
        require(context != nullptr);
        for (const std::string_view part : {id, std::string_view("."), timestamp, std::string_view("."), body}) {
            require(EVP_MAC_update(context.get(), octets(part.data()), part.size()) == 1);
        }
        std::array<unsigned char, kMacBytes> mac{};
        std::size_t length = 0;
        require(EVP_MAC_final(context.get(), mac.data(), &length, mac.size()) == 1);
        return element_of(core::SigningKind::kV1, as_text(mac));
    }

private:
    MacContext keyed_;
};

Key private_key_of(std::string_view seed) {
    return Key(EVP_PKEY_new_raw_private_key_ex(nullptr, "ED25519", nullptr, octets(seed.data()), seed.size()));
}

// The public half of a seed; nullopt where OpenSSL cannot make it.
std::optional<std::string> public_half(std::string_view seed) {
    std::array<unsigned char, kPublicKeyBytes> half{};
    std::size_t length = half.size();
    const Key key = private_key_of(seed);
    if (!key || EVP_PKEY_get_raw_public_key(key.get(), half.data(), &length) != 1) return std::nullopt;
    return std::string(as_text(half));
}

// ed25519: about 40 us a signature, whatever is prepared.
class PrivateKeySigner : public core::Signer {
public:
    explicit PrivateKeySigner(DigestContext keyed) : keyed_(std::move(keyed)) {}

    static std::shared_ptr<const core::Signer> make(std::string_view seed) {
        const Key key = private_key_of(seed);
        DigestContext keyed(EVP_MD_CTX_new());
        if (!key || !keyed || EVP_DigestSignInit(keyed.get(), nullptr, nullptr, nullptr, key.get()) != 1) return nullptr;
        return std::make_shared<PrivateKeySigner>(std::move(keyed));
    }

    std::string sign(std::string_view id, std::string_view timestamp, std::string_view body) const override {
        std::string content;
        content.reserve(id.size() + timestamp.size() + body.size() + 2);
        content.append(id).append(".").append(timestamp).append(".").append(body);
        const DigestContext context(EVP_MD_CTX_new());
        require(context && EVP_MD_CTX_copy_ex(context.get(), keyed_.get()) == 1);
        std::array<unsigned char, kSignatureBytes> signature{};
        std::size_t length = signature.size();
        require(EVP_DigestSign(context.get(), signature.data(), &length, octets(content.data()), content.size()) == 1);
        return element_of(core::SigningKind::kV1a, as_text(signature));
    }

private:
    DigestContext keyed_;
};

core::Result<std::shared_ptr<const core::Signer>> signer_or_error(std::shared_ptr<const core::Signer> signer) {
    if (!signer) return out_of_memory();
    return signer;
}

core::SecretText joined(std::string_view prefix, std::string_view bytes) {
    std::string encoded = base64_encoded(bytes);
    std::string text(prefix);
    text.append(encoded);
    core::SecretText secret(text);
    OPENSSL_cleanse(encoded.data(), encoded.size());
    OPENSSL_cleanse(text.data(), text.size());
    return secret;
}

}  // namespace

core::Result<core::SecretText> new_secret(core::SigningKind kind) {
    const auto random = random_bytes(kNewBytes);
    if (!random) return random.error();
    if (kind == core::SigningKind::kV1) return joined(kSharedSecretPrefix, random->view());
    const auto half = public_half(random->view());
    if (!half) return out_of_memory();
    std::string both(random->view());
    both.append(*half);
    core::SecretText secret = joined(kPrivateKeyPrefix, both);
    OPENSSL_cleanse(both.data(), both.size());
    return secret;
}

core::Result<std::shared_ptr<const core::Signer>> make_signer(core::SigningKind kind, std::string_view secret) {
    if (kind == core::SigningKind::kV1) {
        const auto key = bytes_of(secret, kSharedSecretPrefix);
        if (key && key->view().size() >= kMinSharedBytes && key->view().size() <= kMaxSharedBytes) {
            return signer_or_error(SharedSecretSigner::make(key->view()));
        }
        return core::Error{core::ErrorKind::kInvalid, "a secret of v1 is whsec_ and the base64 of 24 to 64 random bytes"};
    }
    const auto both = bytes_of(secret, kPrivateKeyPrefix);
    if (both && both->view().size() == kSeedBytes + kPublicKeyBytes) {
        const std::string_view seed = both->view().substr(0, kSeedBytes);
        if (public_half(seed) == both->view().substr(kSeedBytes)) return signer_or_error(PrivateKeySigner::make(seed));
    }
    return core::Error{core::ErrorKind::kInvalid,
                       "a secret of v1a is whsk_ and the base64 of an ed25519 seed and its public key, 32 bytes each"};
}

std::string public_key_of(std::string_view secret) {
    const auto both = bytes_of(secret, kPrivateKeyPrefix);
    return both ? std::string(kPublicKeyPrefix) + base64_encoded(both->view().substr(kSeedBytes)) : "";
}

}  // namespace messaging::crypto
