// Secrets as users and rows give them, and what a row says is sealed: each is refused, or read in one way only.
#include "crypto/base64.h"
#include "crypto/sealer.h"
#include "crypto/signing_secret.h"
#include "fuzz/fuzz.h"

using namespace messaging;  // NOLINT(google-build-using-namespace)

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text = fuzz::text_of(data, size);
    const auto bytes = crypto::base64_decoded(text);
    fuzz::promise(!bytes || crypto::base64_encoded(bytes->view()) == text, "a sequence of bytes has one text");
    for (const auto kind : {core::SigningKind::kV1, core::SigningKind::kV1a}) {
        const auto signer = crypto::make_signer(kind, text);
        if (signer) {
            const std::string signature = (*signer.value()).sign("msg", "1", text);
            fuzz::promise(signature.starts_with(std::string(core::word_of(kind)) + ","), "a signature says its version");
        } else {
            fuzz::promise(signer.error().message == crypto::make_signer(kind, "").error().message,
                          "no error depends on the secret");
        }
    }
    static const crypto::Sealer kSealer({core::SecretText(std::string(crypto::kSealingKeyBytes, 'k'))});
    fuzz::promise(!kSealer.open(text, "endpoint 1 v1").ok(), "what was not sealed does not open");
    return 0;
}
