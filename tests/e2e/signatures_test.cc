// Requests as receivers verify them, also while secrets change and where they cannot be read.
#include <gtest/gtest.h>

#include <chrono>

#include "crypto/base64.h"
#include "crypto/sealer.h"
#include "repository/secret_store.h"
#include "support/stores.h"
#include "support/verifying_receiver.h"
#include "support/world.h"

namespace messaging::test {
namespace {

using service::EndpointSecrets;

constexpr const char* kKey = "a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2U=";  // of 32 bytes
constexpr core::EndpointId kSigned = 2;

class Signatures : public testing::Test {
protected:
    void SetUp() override {
        if (const std::string why = VerifyingReceiver::why_not(); !why.empty()) GTEST_SKIP() << "NOT RUN: " << why;
        receiver_.emplace();
        unsigned_.emplace();
        start({});
    }

    // With an endpoint that is signed, beside the endpoint default, which is not.
    void start(Environment environment) {
        environment["WEBHOOK_URL"] = unsigned_->url();
        service_.emplace(environment);
        service_->sql("INSERT INTO messaging.endpoints (name, url) VALUES ('signed', '" + receiver_->url() + "')");
        db_.emplace(service_->database_url());
        const auto key = environment.find("SECRETS_KEY");
        std::vector<core::SecretText> keys;
        if (key != environment.end()) keys.push_back(*crypto::base64_decoded(key->second));
        secrets_.emplace(db_->open_session(repository::api_session_settings()), crypto::Sealer(std::move(keys)));
    }
    EndpointSecrets read_secrets() {
        return db_->value<EndpointSecrets>([&](auto done) { secrets_->read_secrets(kSigned, std::move(done)); });
    }
    EndpointSecrets rotate() {
        return db_->value<EndpointSecrets>(
            [&](auto done) { secrets_->rotate(kSigned, {}, service::kDefaultSecretOverlap, std::move(done)); });
    }
    void insert(int count) {
        service_->sql(
            "INSERT INTO messages (recipient, content, endpoint_id) SELECT '+90' || g, 'Merhaba 👋 \"' || g, 2 FROM "
            "generate_series(1, " +
            std::to_string(count) + ") g");
    }
    bool all_sent() {
        return wait_until([&] { return service_->sql("SELECT count(*) FROM messages WHERE NOT is_sent") == "0"; });
    }
    std::string repeated() { return service_->sql("SELECT count(*) FROM messages WHERE attempts <> 1"); }

    std::optional<VerifyingReceiver> receiver_;
    std::optional<Receiver> unsigned_;
    std::optional<Service> service_;
    std::optional<Stores> db_;
    std::optional<repository::PgSecretStore> secrets_;  // depends-on: db_
};

TEST_F(Signatures, TheReferenceLibraryVerifiesEachRequest) {
    receiver_->trust(read_secrets().secret);
    insert(200);
    ASSERT_TRUE(all_sent());
    EXPECT_EQ(receiver_->verified(0), 200);
    EXPECT_EQ(receiver_->stat("received"), 200);
    EXPECT_EQ(repeated(), "0");
    receiver_->trust("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    insert(1);
    ASSERT_TRUE(all_sent());
    EXPECT_EQ(receiver_->verified(1), 0) << "the test would see a receiver that accepts everything";
}

TEST_F(Signatures, NoRequestFailsDuringRotationsUnderLoad) {
    const std::string first = read_secrets().secret;
    receiver_->trust(first);
    for (int rotation = 0; rotation < 10; ++rotation) {
        insert(100);
        receiver_->trust(rotate().secret);
        insert(100);
    }
    ASSERT_TRUE(all_sent());
    EXPECT_EQ(receiver_->stat("received"), 2000);
    EXPECT_EQ(receiver_->stat("failed"), 0);
    EXPECT_EQ(receiver_->verified(0), 2000) << "a receiver that still has the first secret accepts all of them";
    EXPECT_EQ(repeated(), "0");
    ASSERT_TRUE(wait_until([&] {
        insert(1);
        return all_sent() && receiver_->verified(10) > 0;
    })) << "and one that has only the newest accepts what is sent now";
    EXPECT_EQ(receiver_->stat("most_signatures"), 11);
}

TEST_F(Signatures, AnEd25519SignatureIsVerifiedWithThePublicKey) {
    service_->sql("UPDATE messaging.endpoints SET signing = 'v1a' WHERE id = 2");
    const EndpointSecrets before = read_secrets();
    ASSERT_TRUE(before.public_key.starts_with("whpk_"));
    receiver_->trust(before.public_key);
    insert(100);
    receiver_->trust(rotate().public_key);
    insert(100);
    ASSERT_TRUE(all_sent());
    EXPECT_EQ(receiver_->verified(0), 200);
    EXPECT_EQ(repeated(), "0");
    EXPECT_TRUE(wait_until([&] {
        insert(1);
        return all_sent() && receiver_->verified(1) > 0;
    }));
}

TEST_F(Signatures, TheEndpointDefaultIsSignedOnceThatIsSwitchedOn) {
    service_->sql("UPDATE messaging.endpoints SET name = 'default', url = '" + receiver_->url() + "' WHERE id = 1");
    service_->sql("UPDATE messaging.endpoints SET signing = 'none' WHERE id = 2");
    service_->sql("INSERT INTO messages (recipient, content) VALUES ('a', 'b')");
    ASSERT_TRUE(wait_until([&] { return receiver_->stat("unsigned") > 0; }));
    service_->sql("UPDATE messaging.endpoints SET signing = 'v1' WHERE id = 1");
    const auto secrets = db_->value<EndpointSecrets>([&](auto done) { secrets_->read_secrets(1, std::move(done)); });
    receiver_->trust(secrets.secret);
    EXPECT_TRUE(all_sent());
    EXPECT_EQ(receiver_->verified(0), 1);
}

TEST_F(Signatures, SealedSecretsSignAndAreShownNowhere) {
    start({{"SECRETS_KEY", kKey}, {"LOG_LEVEL", "debug"}});
    const std::string secret = read_secrets().secret;
    receiver_->trust(secret);
    insert(20);
    ASSERT_TRUE(all_sent());
    EXPECT_EQ(receiver_->verified(0), 20);
    EXPECT_EQ(service_->sql("SELECT count(*) FROM messaging._endpoint_secret WHERE secret LIKE 'sealed:1:%'"), "1");
    for (const std::string& text : {service_->output(), call("GET", service_->url("/metrics")).body}) {
        for (const std::string& hidden : {secret, secret.substr(6), std::string(kKey), std::string("sealed:1:")}) {
            EXPECT_EQ(text.find(hidden), std::string::npos) << hidden;
        }
    }
}

TEST_F(Signatures, ASecretThatCannotBeOpenedStopsNothingThatRunsAndIsSaid) {
    receiver_->trust(read_secrets().secret);
    insert(1);
    ASSERT_TRUE(all_sent());
    service_->sql("UPDATE messaging._endpoint_secret SET secret = 'sealed:1:' || repeat('A', 64)");
    ASSERT_TRUE(wait_until([&] {
        return service_->output().find("signing for endpoint ") != std::string::npos &&
               service_->output().find("the secret of endpoint 2 cannot be opened: add the key that sealed it to SECRETS_KEY") !=
                   std::string::npos;
    })) << service_->output();
    insert(10);
    EXPECT_TRUE(all_sent());
    EXPECT_EQ(receiver_->verified(0), 11) << "the engine keeps what it has read before";
    service_->sql("DELETE FROM messaging._endpoint_secret");  // as the line says
    receiver_->trust(read_secrets().secret);
    EXPECT_TRUE(wait_until([&] {
        insert(1);
        return all_sent() && receiver_->verified(1) > 0;
    }));
    EXPECT_EQ(service_->sql("SELECT count(*) FROM messaging._dead"), "0");
}

}  // namespace
}  // namespace messaging::test
