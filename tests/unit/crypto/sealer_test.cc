// What a sealer opens, and what it does not.
#include "crypto/sealer.h"

#include <gtest/gtest.h>

namespace messaging::crypto {
namespace {

core::SecretText key(char byte) { return core::SecretText(std::string(kSealingKeyBytes, byte)); }

const Sealer kSealer({key('a')});

TEST(Sealer, OpensWhatItHasSealedAndWritesAnotherTextEachTime) {
    for (const std::string plain : {"", "x", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}) {
        const auto sealed = kSealer.seal(plain, "endpoint 1");
        ASSERT_TRUE(sealed.ok());
        EXPECT_TRUE(is_sealed(sealed.value()));
        const auto opened = kSealer.open(sealed.value(), "endpoint 1");
        ASSERT_TRUE(opened.ok());
        EXPECT_EQ(opened->plain.view(), plain);
        EXPECT_TRUE(opened->by_first_key);
        EXPECT_NE(kSealer.seal(plain, "endpoint 1").value(), sealed.value());
    }
}

TEST(Sealer, OpensForWhatItBelongsToOnly) {
    const std::string sealed = kSealer.seal("secret", "endpoint 1").value();
    EXPECT_FALSE(kSealer.open(sealed, "endpoint 2").ok());
    EXPECT_FALSE(kSealer.open(sealed, "").ok());
}

TEST(Sealer, AnyChangeIsFound) {
    const std::string sealed = kSealer.seal("secret", "endpoint 1").value();
    for (std::size_t i = 0; i < sealed.size(); ++i) {
        std::string changed = sealed;
        changed[i] = changed[i] == 'A' ? 'B' : 'A';
        EXPECT_FALSE(kSealer.open(changed, "endpoint 1").ok()) << i;
        EXPECT_FALSE(kSealer.open(sealed.substr(0, i), "endpoint 1").ok()) << i;
    }
    EXPECT_FALSE(kSealer.open(sealed + "AAAA", "endpoint 1").ok());
}

TEST(Sealer, TheFirstKeySealsAndAllOpen) {
    const Sealer both({key('b'), key('a')});
    const auto by_second = both.open(kSealer.seal("secret", "1").value(), "1");
    ASSERT_TRUE(by_second.ok());
    EXPECT_FALSE(by_second->by_first_key);
    const std::string sealed = both.seal("secret", "1").value();
    EXPECT_TRUE(both.open(sealed, "1")->by_first_key);
    EXPECT_FALSE(kSealer.open(sealed, "1").ok()) << "the second key has not sealed it";
    const auto refused = Sealer().open(sealed, "1");
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().kind, core::ErrorKind::kInvalid);
    EXPECT_FALSE(Sealer().has_key());
}

}  // namespace
}  // namespace messaging::crypto
