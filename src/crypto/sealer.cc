// Seals with AES-256-GCM: the text is "sealed:1:" and the base64 of nonce, ciphertext and tag.
#include "crypto/sealer.h"

#include <openssl/crypto.h>

#include <cstddef>
#include <optional>
#include <utility>

#include "crypto/base64.h"
#include "crypto/handles.h"
#include "crypto/random.h"

namespace messaging::crypto {
namespace {

constexpr std::string_view kSealedPrefix = "sealed:1:";
constexpr std::size_t kNonceBytes = 12;
constexpr std::size_t kTagBytes = 16;

int length_of(std::string_view bytes) { return static_cast<int>(bytes.size()); }

// Ciphertext and tag.
std::optional<std::string> encrypted(std::string_view key, std::string_view nonce, std::string_view associated,
                                     std::string_view plain) {
    const CipherContext context(EVP_CIPHER_CTX_new());
    std::string bytes(plain.size() + kTagBytes, '\0');
    int length = 0;
    const bool done =
        context != nullptr &&
        EVP_EncryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, octets(key.data()), octets(nonce.data())) == 1 &&
        EVP_EncryptUpdate(context.get(), nullptr, &length, octets(associated.data()), length_of(associated)) == 1 &&
        EVP_EncryptUpdate(context.get(), octets(bytes.data()), &length, octets(plain.data()), length_of(plain)) == 1 &&
        EVP_EncryptFinal_ex(context.get(), octets(bytes.data()) + length, &length) == 1 &&
        EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, kTagBytes, bytes.data() + plain.size()) == 1;
    return done ? std::optional(std::move(bytes)) : std::nullopt;
}

// Nothing of the plain text is used before the tag has been compared, which OpenSSL does in constant time.
std::optional<core::SecretText> decrypted(std::string_view key, std::string_view box, std::string_view associated) {
    const std::string_view nonce = box.substr(0, kNonceBytes);
    const std::string_view cipher = box.substr(kNonceBytes, box.size() - kNonceBytes - kTagBytes);
    std::string tag(box.substr(box.size() - kTagBytes));
    const CipherContext context(EVP_CIPHER_CTX_new());
    std::string plain(cipher.size(), '\0');
    int length = 0;
    const bool done =
        context != nullptr &&
        EVP_DecryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, octets(key.data()), octets(nonce.data())) == 1 &&
        EVP_DecryptUpdate(context.get(), nullptr, &length, octets(associated.data()), length_of(associated)) == 1 &&
        EVP_DecryptUpdate(context.get(), octets(plain.data()), &length, octets(cipher.data()), length_of(cipher)) == 1 &&
        EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG, kTagBytes, tag.data()) == 1 &&
        EVP_DecryptFinal_ex(context.get(), octets(plain.data()) + length, &length) == 1;
    std::optional<core::SecretText> secret;
    if (done) secret.emplace(plain);
    OPENSSL_cleanse(plain.data(), plain.size());
    return secret;
}

}  // namespace

core::Result<std::string> Sealer::seal(std::string_view plain, std::string_view associated) const {
    const auto nonce = random_bytes(kNonceBytes);
    if (!nonce) return nonce.error();
    const auto box = encrypted(keys_.front().view(), nonce->view(), associated, plain);
    if (!box) return core::Error{core::ErrorKind::kInternal, "OpenSSL cannot seal a secret: out of memory"};
    return std::string(kSealedPrefix) + base64_encoded(std::string(nonce->view()) + *box);
}

core::Result<Opened> Sealer::open(std::string_view sealed, std::string_view associated) const {
    const core::Error error{core::ErrorKind::kInvalid, "no key of SECRETS_KEY opens it"};
    if (!is_sealed(sealed)) return error;
    const auto box = base64_decoded(sealed.substr(kSealedPrefix.size()));
    if (!box || box->view().size() < kNonceBytes + kTagBytes) return error;
    for (const core::SecretText& key : keys_) {
        auto plain = decrypted(key.view(), box->view(), associated);
        if (plain) return Opened{std::move(*plain), &key == &keys_.front()};
    }
    return error;
}

bool is_sealed(std::string_view text) { return text.starts_with(kSealedPrefix); }

}  // namespace messaging::crypto
