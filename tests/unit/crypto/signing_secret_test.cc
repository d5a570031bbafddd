// The vectors that the reference libraries of Standard Webhooks share, and what is no secret.
#include "crypto/signing_secret.h"

#include <gtest/gtest.h>

#include "crypto/base64.h"

namespace messaging::crypto {
namespace {

using core::SigningKind;

constexpr std::string_view kSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
constexpr std::string_view kPrivate =
    "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
constexpr std::string_view kId = "msg_p5jXN8AQM9LWM0D4loKWxJek";
constexpr std::string_view kTimestamp = "1614265330";
constexpr std::string_view kBody = R"({"test": 2432232314})";

std::string signature(SigningKind kind, std::string_view secret, std::string_view body = kBody) {
    const auto signer = make_signer(kind, secret);
    EXPECT_TRUE(signer.ok());
    return signer ? (*signer.value()).sign(kId, kTimestamp, body) : "";
}

TEST(SigningSecret, SignsThePublishedVectors) {
    EXPECT_EQ(signature(SigningKind::kV1, kSecret), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    EXPECT_EQ(signature(SigningKind::kV1a, kPrivate),
              "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==");
    EXPECT_EQ(public_key_of(kPrivate), "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=");
}

TEST(SigningSecret, ASignerSignsAnyNumberOfRequests) {
    for (const auto& [kind, secret] : {std::pair(SigningKind::kV1, kSecret), std::pair(SigningKind::kV1a, kPrivate)}) {
        const auto signer = make_signer(kind, secret);
        ASSERT_TRUE(signer.ok());
        const std::string first = (*signer.value()).sign(kId, kTimestamp, kBody);
        const std::string other = (*signer.value()).sign(kId, kTimestamp, "{}");
        EXPECT_EQ((*signer.value()).sign(kId, kTimestamp, kBody), first) << "nothing of the request before is left over";
        EXPECT_NE(other, first);
        EXPECT_NE((*signer.value()).sign("msg_q", kTimestamp, kBody), first);
        EXPECT_NE((*signer.value()).sign(kId, "1614265331", kBody), first);
        EXPECT_EQ((*signer.value()).sign(kId, kTimestamp, kBody), signature(kind, secret));
    }
}

TEST(SigningSecret, NewSecretsAreDifferentAndCanBeUsed) {
    for (const auto& [kind, prefix, bytes] :
         {std::tuple(SigningKind::kV1, kSharedSecretPrefix, 32U), std::tuple(SigningKind::kV1a, kPrivateKeyPrefix, 64U)}) {
        const auto one = new_secret(kind);
        const auto another = new_secret(kind);
        ASSERT_TRUE(one.ok() && another.ok());
        EXPECT_NE(one->view(), another->view());
        ASSERT_TRUE(one->view().starts_with(prefix));
        EXPECT_EQ(base64_decoded(one->view().substr(prefix.size()))->view().size(), bytes);
        EXPECT_TRUE(make_signer(kind, one->view()).ok());
    }
}

TEST(SigningSecret, AcceptsKeysOf24To64Bytes) {
    for (const std::size_t bytes : {23U, 24U, 64U, 65U}) {
        const std::string secret = std::string(kSharedSecretPrefix) + base64_encoded(std::string(bytes, 'k'));
        EXPECT_EQ(make_signer(SigningKind::kV1, secret).ok(), bytes >= 24 && bytes <= 64) << bytes;
    }
}

TEST(SigningSecret, WhatIsNoSecretIsRefusedAndNotQuoted) {
    std::string foreign_half(kPrivate);
    foreign_half.replace(foreign_half.size() - 6, 1, foreign_half[foreign_half.size() - 6] == 'A' ? "B" : "A");
    const std::pair<SigningKind, std::string> wrong[] = {
        {SigningKind::kV1, ""},
        {SigningKind::kV1, std::string(kSecret.substr(6))},
        {SigningKind::kV1, std::string(kSecret) + " "},
        {SigningKind::kV1, "WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
        {SigningKind::kV1, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS!"},
        {SigningKind::kV1, std::string(kPrivate)},
        {SigningKind::kV1a, std::string(kSecret)},
        {SigningKind::kV1a, "whsk_" + base64_encoded(std::string(32, 'k'))},
        {SigningKind::kV1a, foreign_half},
    };
    for (const auto& [kind, text] : wrong) {
        const auto refused = make_signer(kind, text);
        ASSERT_FALSE(refused.ok()) << text;
        EXPECT_EQ(refused.error().kind, core::ErrorKind::kInvalid);
        const bool quoted = text.size() > 12 && refused.error().message.find(text.substr(6, 6)) != std::string::npos;
        EXPECT_FALSE(quoted) << refused.error().message;
    }
}

}  // namespace
}  // namespace messaging::crypto
