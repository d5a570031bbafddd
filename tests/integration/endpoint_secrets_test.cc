// The secrets of endpoints: made, sealed, opened, rotated and removed; who may read them.
#include <algorithm>
#include <chrono>

#include "crypto/sealer.h"
#include "crypto/signing_secret.h"
#include "repository/endpoint_store.h"
#include "repository/secret_store.h"
#include "support/private_postgres.h"
#include "support/stores.h"

namespace messaging::repository {
namespace {

using core::ErrorKind;
using core::SigningKind;
using service::EndpointSecrets;
using std::chrono::hours;
using std::chrono::seconds;
using test::Stores;
using Endpoints = std::vector<core::Endpoint>;

crypto::Sealer sealer(const std::string& keys) {
    std::vector<core::SecretText> all;
    for (const char key : keys) all.emplace_back(std::string(crypto::kSealingKeyBytes, key));
    return crypto::Sealer(std::move(all));
}

std::string sign(const core::Signer& signer) { return signer.sign("msg_a_1_0", "1614265330", "{}"); }
std::string signature_by(const std::string& secret) {
    const auto signer = crypto::make_signer(SigningKind::kV1, secret);
    EXPECT_TRUE(signer.ok()) << secret;
    return signer ? sign(*signer.value()) : "";
}

// The underscore is in no base64.
bool has_plain_secret(const std::string& text) {
    return text.find("whsec_") != std::string::npos || text.find("whsk_") != std::string::npos;
}

class EndpointSecretsTest : public testing::Test {
protected:
    EndpointSecretsTest() {
        db_.sql("INSERT INTO messaging.endpoints (name, url) VALUES ('b', 'http://b/')");
        db_.sql("INSERT INTO messaging.endpoints (name, url, signing) VALUES ('c', 'http://c/', 'v1a')");
    }

    core::Result<Endpoints> try_load(PgEndpointStore& store) {
        return db_.answer<Endpoints>([&](auto done) { store.load_endpoints(std::move(done)); });
    }
    Endpoints load(PgEndpointStore& store) {
        auto loaded = try_load(store);
        EXPECT_TRUE(loaded.ok()) << loaded.error().message;
        return loaded ? loaded.value() : Endpoints();
    }
    Endpoints load() {
        PgEndpointStore store(session_);
        return load(store);
    }
    core::Result<EndpointSecrets> try_read(core::EndpointId id) {
        return db_.answer<EndpointSecrets>([&](auto done) { secrets_.read_secrets(id, std::move(done)); });
    }
    EndpointSecrets read(core::EndpointId id) {
        return db_.value<EndpointSecrets>([&](auto done) { secrets_.read_secrets(id, std::move(done)); });
    }
    core::Result<EndpointSecrets> try_rotate(core::EndpointId id, const std::optional<std::string>& given, seconds overlap) {
        return db_.answer<EndpointSecrets>([&](auto done) { secrets_.rotate(id, given, overlap, std::move(done)); });
    }
    EndpointSecrets rotate(core::EndpointId id, seconds overlap = service::kDefaultSecretOverlap,
                           const std::optional<std::string>& given = {}) {
        auto rotated = try_rotate(id, given, overlap);
        EXPECT_TRUE(rotated.ok()) << rotated.error().message;
        return rotated ? rotated.value() : EndpointSecrets();
    }
    std::string stored() { return db_.sql("SELECT secret FROM messaging._endpoint_secret ORDER BY secret_id"); }

    Stores db_{test::fresh_database()};
    pg::Connection& session_{db_.open_session(claim_session_settings())};
    PgSecretStore secrets_{db_.open_session(api_session_settings())};
};

TEST_F(EndpointSecretsTest, OneEndpointIsReadByItsIdOrItsNameWithItsSecretMade) {
    PgEndpointStore store(session_);
    const auto one = [&](const service::EndpointRef& endpoint) {
        return db_.answer<core::Endpoint>([&](auto done) { store.load_endpoint(endpoint, std::move(done)); });
    };
    const auto by_name = one({std::nullopt, "b"});
    ASSERT_TRUE(by_name.ok()) << by_name.error().message;
    ASSERT_EQ(by_name->signers.size(), 1U);
    EXPECT_EQ(by_name->url, "http://b/");
    EXPECT_EQ(db_.sql("SELECT endpoint_id, kind FROM messaging._endpoint_secret"), "2|v1") << "no other endpoint's";
    const auto by_id = one({2, {}});
    ASSERT_EQ(by_id->signers.size(), 1U);
    EXPECT_EQ(sign(*by_id->signers[0].signer), sign(*by_name->signers[0].signer));
    EXPECT_EQ(sign(*by_id->signers[0].signer), sign(*load().at(1).signers[0].signer)) << "as an engine signs";
    EXPECT_EQ(one({99, {}}).error().kind, ErrorKind::kNotFound);
}

TEST_F(EndpointSecretsTest, AreMadeWhenTheEndpointsAreReadAndThenStay) {
    const Endpoints first = load();
    ASSERT_EQ(first.size(), 3U);
    EXPECT_TRUE(first[0].signers.empty()) << "the endpoint default is not signed";
    ASSERT_EQ(first[1].signers.size(), 1U);
    EXPECT_TRUE(sign(*first[1].signers[0].signer).starts_with("v1,"));
    EXPECT_FALSE(first[1].signers[0].expires_at);
    EXPECT_TRUE(sign(*first[2].signers.at(0).signer).starts_with("v1a,"));
    EXPECT_EQ(db_.sql("SELECT endpoint_id, kind, left(secret, 5) FROM messaging._endpoint_secret ORDER BY 1"),
              "2|v1|whsec 3|v1a|whsk_");
    EXPECT_EQ(sign(*load()[1].signers.at(0).signer), sign(*first[1].signers[0].signer));
}

TEST_F(EndpointSecretsTest, ASignerIsPreparedOnceForAllReads) {
    PgEndpointStore store(session_);
    const core::Signer* const signer = load(store)[1].signers.at(0).signer.get();
    EXPECT_EQ(load(store)[1].signers.at(0).signer.get(), signer);
    rotate(2);
    const Endpoints after = load(store);
    ASSERT_EQ(after[1].signers.size(), 2U);
    EXPECT_NE(after[1].signers[0].signer.get(), signer) << "newest first";
    EXPECT_EQ(after[1].signers[1].signer.get(), signer);
    EXPECT_TRUE(after[1].signers[1].expires_at);
}

TEST_F(EndpointSecretsTest, ProcessesThatMakeThemAtOnceAgree) {
    std::vector<std::unique_ptr<PgEndpointStore>> stores;
    std::vector<Endpoints> answers;
    db_.sql("INSERT INTO messaging.endpoints (name, url) SELECT 'e' || g, 'http://e/' FROM generate_series(1, 50) g");
    for (int i = 0; i < 8; ++i) {
        stores.push_back(std::make_unique<PgEndpointStore>(db_.open_session(claim_session_settings()), sealer("a")));
    }
    for (const auto& store : stores) {
        store->load_endpoints([&](core::Result<Endpoints> loaded) {
            EXPECT_TRUE(loaded.ok()) << loaded.error().message;
            answers.push_back(loaded ? loaded.value() : Endpoints());
        });
    }
    ASSERT_TRUE(test::run_until(db_.loop(), [&] { return answers.size() == stores.size(); }));
    for (const Endpoints& answer : answers) {
        ASSERT_EQ(answer.size(), 53U);
        for (std::size_t i = 1; i < answer.size(); ++i) {
            EXPECT_EQ(sign(*answer[i].signers.at(0).signer), sign(*answers[0][i].signers.at(0).signer));
        }
    }
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._endpoint_secret"), 52);
}

TEST_F(EndpointSecretsTest, PlainOnesAreSealedOnceThereIsAKeyAndAgainWithANewKey) {
    const std::string signature = sign(*load()[1].signers.at(0).signer);
    const auto expect_sealed_by = [&](const std::string& keys) {
        PgEndpointStore store(session_, sealer(keys));
        EXPECT_EQ(sign(*load(store)[1].signers.at(0).signer), signature) << keys;
        const std::string sealed = stored();
        EXPECT_FALSE(has_plain_secret(sealed)) << sealed;
        EXPECT_EQ(sign(*load(store)[1].signers.at(0).signer), signature) << keys;
        EXPECT_EQ(stored(), sealed) << "and not again at each read";
        return sealed;
    };
    const std::string by_a = expect_sealed_by("a");
    EXPECT_EQ(expect_sealed_by("ab"), by_a);
    EXPECT_NE(expect_sealed_by("ba"), by_a);
    EXPECT_NE(expect_sealed_by("b"), by_a) << "the key a is no longer needed";
}

// Each sealed them anew at each read, every two seconds and for ever.
TEST_F(EndpointSecretsTest, ProcessesWithTheSameKeysInAnotherOrderDoNotSealInTurns) {
    PgEndpointStore old_first(session_, sealer("ab"));
    PgEndpointStore new_first(db_.open_session(claim_session_settings()), sealer("ba"));
    load(old_first);
    load(new_first);
    const std::string by_new = stored();
    PgEndpointStore only_new(session_, sealer("b"));
    EXPECT_EQ(load(only_new)[1].signers.size(), 1U) << "the process that was started last has sealed them";
    for (int i = 0; i < 3; ++i) {
        EXPECT_EQ(load(old_first)[1].signers.size(), 1U);
        EXPECT_EQ(load(new_first)[1].signers.size(), 1U);
    }
    EXPECT_EQ(stored(), by_new);
    db_.sql("UPDATE messaging._endpoint_secret SET secret = 'whsec_' || encode(sha256('x'), 'base64') WHERE kind = 'v1'");
    load(old_first);
    EXPECT_FALSE(has_plain_secret(stored())) << "what is not sealed at all is sealed by either";
}

// Regression: the statement took the square of their number, and from some thousands on met its timeout at each start.
TEST_F(EndpointSecretsTest, ThoseOfTenThousandEndpointsAreSealedAtOnce) {
    constexpr std::size_t kEndpoints = 10'000;
    const std::string many = std::to_string(kEndpoints);
    db_.sql("INSERT INTO messaging.endpoints (name, url) SELECT 'e' || g, 'http://e/' FROM generate_series(1, " + many + ") g");
    db_.sql(
        "INSERT INTO messaging._endpoint_secret (endpoint_id, kind, secret) SELECT id, 'v1', 'whsec_' || repeat('k', 32) FROM "
        "messaging.endpoints WHERE name LIKE 'e%'");
    PgEndpointStore store(db_.open_session(claim_session_settings()), sealer("k"));
    EXPECT_GE(load(store).size(), kEndpoints);
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._endpoint_secret WHERE secret NOT LIKE 'sealed:%'"), 0);
}

TEST_F(EndpointSecretsTest, WhatCannotBeSealedIsUsedAsItIs) {
    const std::string signature = sign(*load()[1].signers.at(0).signer);
    db_.sql("CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$");
    db_.sql("CREATE TRIGGER refuse BEFORE UPDATE ON messaging._endpoint_secret EXECUTE FUNCTION public.refuse()");
    PgEndpointStore with_key(session_, sealer("a"));
    EXPECT_EQ(sign(*load(with_key)[1].signers.at(0).signer), signature);
    EXPECT_TRUE(has_plain_secret(stored()));
    db_.sql("DROP TRIGGER refuse ON messaging._endpoint_secret");
    load(with_key);
    EXPECT_FALSE(has_plain_secret(stored())) << "the next reading seals it";
}

TEST_F(EndpointSecretsTest, ThoseOfAKindThatSignsNothingNowAreSealedTooAndNeedNotOpen) {
    const std::string signature = sign(*load()[1].signers.at(0).signer);
    db_.sql("UPDATE messaging.endpoints SET signing = 'none' WHERE id = 2");
    PgEndpointStore with_key(session_, sealer("a"));
    EXPECT_TRUE(load(with_key)[1].signers.empty());
    EXPECT_FALSE(has_plain_secret(stored())) << stored();
    db_.sql("DELETE FROM messaging._endpoint_secret WHERE endpoint_id = 3");
    EXPECT_TRUE(load()[1].signers.empty()) << "without the key, and without an error";
    db_.sql("UPDATE messaging.endpoints SET signing = 'v1' WHERE id = 2");
    EXPECT_EQ(sign(*load(with_key)[1].signers.at(0).signer), signature) << "the secret from before";
}

TEST_F(EndpointSecretsTest, WithoutTheirKeyTheEndpointIsUnusableAndSaysWhatToDo) {
    PgEndpointStore with_key(session_, sealer("a"));
    load(with_key);
    for (const std::string keys : {"", "b"}) {
        PgEndpointStore store(session_, sealer(keys));
        const auto endpoints = load(store);
        ASSERT_EQ(endpoints.size(), 3U) << "an endpoint that is left out would lose its messages";
        EXPECT_EQ(endpoints[0].unusable, "") << "others do not notice";
        EXPECT_NE(endpoints[1].unusable.find("endpoint 2"), std::string::npos) << endpoints[1].unusable;
        EXPECT_NE(endpoints[1].unusable.find("SECRETS_KEY"), std::string::npos) << endpoints[1].unusable;
        EXPECT_EQ(endpoints[1].unusable.find("sealed:"), std::string::npos) << endpoints[1].unusable;
    }
    const auto refused = try_read(2);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().kind, ErrorKind::kInternal);
    db_.sql("DELETE FROM messaging._endpoint_secret WHERE endpoint_id IN (2, 3)");  // as the sentence says
    EXPECT_EQ(load()[1].unusable, "");
}

TEST_F(EndpointSecretsTest, ARowOfAnotherEndpointDoesNotOpen) {
    PgEndpointStore store(session_, sealer("a"));
    db_.sql("UPDATE messaging.endpoints SET signing = 'v1' WHERE id = 3");
    load(store);
    db_.sql(
        "UPDATE messaging._endpoint_secret SET secret = (SELECT secret FROM messaging._endpoint_secret WHERE endpoint_id = 2) "
        "WHERE endpoint_id = 3");
    const auto endpoints = load(store);
    EXPECT_EQ(endpoints[1].unusable, "");
    EXPECT_NE(endpoints[2].unusable, "");
}

// A reader's finding: nothing was sent to anybody until the transaction had ended.
TEST_F(EndpointSecretsTest, AnEndpointThatSomebodyHasLockedIsUnusableUntilItsSecretCanBeMade) {
    pg::Session other = test::connect_or_abort(db_.url());
    ASSERT_TRUE(other.execute_script("BEGIN; SELECT FROM messaging.endpoints WHERE id = 2 FOR UPDATE"));
    PgEndpointStore store(session_);
    const auto endpoints = load(store);
    ASSERT_EQ(endpoints.size(), 3U);
    EXPECT_NE(endpoints[1].unusable.find("endpoint 2 has no secret"), std::string::npos) << endpoints[1].unusable;
    EXPECT_EQ(endpoints[2].unusable, "") << endpoints[2].unusable;
    EXPECT_EQ(endpoints[2].signers.size(), 1U);
    ASSERT_TRUE(other.execute_script("ROLLBACK"));
    EXPECT_EQ(load(store)[1].unusable, "");
}

TEST_F(EndpointSecretsTest, AnEndpointWhoseSecretCannotBeStoredIsUnusable) {
    PgEndpointStore store(session_);
    db_.sql("CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'");
    db_.sql("CREATE TRIGGER nothing BEFORE INSERT ON messaging._endpoint_secret FOR EACH ROW EXECUTE FUNCTION nothing()");
    const auto endpoints = load(store);
    ASSERT_EQ(endpoints.size(), 3U);
    EXPECT_EQ(endpoints[0].unusable, "") << "it is not signed";
    EXPECT_NE(endpoints[1].unusable.find("endpoint 2 has no secret"), std::string::npos) << endpoints[1].unusable;
}

TEST_F(EndpointSecretsTest, ReadingOneMakesItAndShowsNoPrivateKey) {
    const EndpointSecrets shared = read(2);
    EXPECT_EQ(shared.kind, SigningKind::kV1);
    EXPECT_TRUE(crypto::make_signer(SigningKind::kV1, shared.secret).ok());
    EXPECT_EQ(shared.public_key, "");
    EXPECT_EQ(read(2).secret, shared.secret);
    EXPECT_EQ(sign(*load()[1].signers.at(0).signer), signature_by(shared.secret));
    const EndpointSecrets pair = read(3);
    EXPECT_EQ(pair.kind, SigningKind::kV1a);
    EXPECT_EQ(pair.secret, "");
    EXPECT_TRUE(pair.public_key.starts_with("whpk_"));
    EXPECT_EQ(crypto::public_key_of(db_.sql("SELECT secret FROM messaging._endpoint_secret WHERE kind = 'v1a'")),
              pair.public_key);
}

TEST_F(EndpointSecretsTest, WhatCannotBeReadOrRotatedIsRefused) {
    const auto kind_of = [](const core::Result<EndpointSecrets>& result) {
        EXPECT_FALSE(result.ok());
        return result ? ErrorKind::kTimeout : result.error().kind;
    };
    EXPECT_EQ(kind_of(try_read(77)), ErrorKind::kNotFound);
    EXPECT_EQ(kind_of(try_rotate(77, {}, hours(1))), ErrorKind::kNotFound);
    EXPECT_EQ(kind_of(try_read(1)), ErrorKind::kConflict) << "its requests are not signed";
    EXPECT_EQ(kind_of(try_rotate(1, {}, hours(1))), ErrorKind::kConflict);
    EXPECT_EQ(kind_of(try_rotate(2, "whsec_short", hours(1))), ErrorKind::kInvalid);
    EXPECT_EQ(kind_of(try_rotate(3, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", hours(1))), ErrorKind::kInvalid);
    EXPECT_EQ(kind_of(try_rotate(2, {}, seconds(-1))), ErrorKind::kInvalid);
    EXPECT_EQ(kind_of(try_rotate(2, {}, service::kMaxSecretOverlap + seconds(1))), ErrorKind::kInvalid);
    EXPECT_EQ(stored(), "") << "nothing was changed";
}

TEST_F(EndpointSecretsTest, ARotationKeepsTheSecretBeforeForTheOverlap) {
    const std::string first = read(2).secret;
    const EndpointSecrets rotated = rotate(2, hours(2));
    EXPECT_NE(rotated.secret, first);
    ASSERT_EQ(rotated.previous_expire_at.size(), 1U);
    EXPECT_EQ(db_.sql("SELECT expires_at > now() + interval '119 min' AND expires_at < now() + interval '121 min' AS soon FROM "
                      "messaging._endpoint_secret WHERE expires_at IS NOT NULL"),
              "true");
    const std::string given = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    EXPECT_EQ(rotate(2, hours(1), given).secret, given);
    EXPECT_EQ(read(2).previous_expire_at.size(), 2U);
    const Endpoints loaded = load();
    ASSERT_EQ(loaded[1].signers.size(), 3U);
    EXPECT_EQ(sign(*loaded[1].signers[0].signer), signature_by(given));
    EXPECT_EQ(sign(*loaded[1].signers[2].signer), signature_by(first));
}

TEST_F(EndpointSecretsTest, WithoutAnOverlapAllEarlierOnesEnd) {
    for (int i = 0; i < 3; ++i) rotate(3);
    EXPECT_EQ(load()[2].signers.size(), 3U);
    EXPECT_TRUE(rotate(3, seconds(0)).previous_expire_at.empty());
    EXPECT_EQ(load()[2].signers.size(), 1U);
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._endpoint_secret WHERE endpoint_id = 3"), 1);
}

TEST_F(EndpointSecretsTest, TenEarlierOnesAreTheMostUntilOneExpires) {
    read(2);
    for (int i = 0; i < 10; ++i) rotate(2);
    EXPECT_EQ(read(2).previous_expire_at.size(), service::kMaxPreviousSecrets);
    const std::string before = stored();
    const auto refused = try_rotate(2, {}, hours(1));
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().kind, ErrorKind::kConflict);
    EXPECT_EQ(stored(), before);
    db_.sql(
        "UPDATE messaging._endpoint_secret SET expires_at = now() - interval '1 s' WHERE secret_id = (SELECT min(secret_id) "
        "FROM messaging._endpoint_secret)");
    EXPECT_EQ(load()[1].signers.size(), 10U) << "an expired one signs no more";
    EXPECT_EQ(rotate(2).previous_expire_at.size(), 10U);
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._endpoint_secret WHERE endpoint_id = 2"), 11)
        << "and is removed by the next rotation";
    EXPECT_EQ(rotate(2, seconds(0)).previous_expire_at.size(), 0U);
}

TEST_F(EndpointSecretsTest, ARotationSealsWithTheKey) {
    PgSecretStore with_key(db_.open_session(api_session_settings()), sealer("a"));
    const auto rotated = db_.value<EndpointSecrets>([&](auto done) { with_key.rotate(2, {}, hours(1), std::move(done)); });
    EXPECT_TRUE(rotated.secret.starts_with("whsec_"));
    EXPECT_TRUE(stored().starts_with("sealed:1:"));
}

TEST_F(EndpointSecretsTest, ManyRotationsAtOnceLeaveOneCurrentSecret) {
    std::vector<std::unique_ptr<PgSecretStore>> stores;
    for (int i = 0; i < 6; ++i) stores.push_back(std::make_unique<PgSecretStore>(db_.open_session(api_session_settings())));
    int rotated = 0;
    for (const auto& store : stores) {
        store->rotate(2, {}, hours(1), [&](const core::Result<EndpointSecrets>& result) {
            EXPECT_TRUE(result.ok()) << result.error().message;
            ++rotated;
        });
    }
    ASSERT_TRUE(test::run_until(db_.loop(), [&] { return rotated == 6; }));
    EXPECT_EQ(db_.sql("SELECT count(*), count(*) FILTER (WHERE expires_at IS NULL) AS current FROM messaging._endpoint_secret"),
              "6|1");
}

TEST_F(EndpointSecretsTest, GoWithTheirEndpoint) {
    load();
    db_.sql("DELETE FROM messaging.endpoints WHERE id = 2");
    EXPECT_EQ(db_.sql("SELECT endpoint_id FROM messaging._endpoint_secret"), "3");
    db_.sql("TRUNCATE messaging.endpoints");
    EXPECT_EQ(stored(), "");
}

TEST_F(EndpointSecretsTest, EnginesAreNotifiedOfChangesOnly) {
    pg::Connection& listener = db_.open_session(listen_session_settings());
    constexpr pg::Statement kListen{"listen_control", "LISTEN messaging_control"};
    db_.value<std::vector<pg::Rows>>([&](auto done) { listener.execute({{&kListen, {}}}, std::move(done)); });
    const auto notified_by = [&](const std::string& sql) {
        const std::size_t before = db_.notified().size();
        db_.sql(sql);
        return test::run_until(
            db_.loop(), [&] { return db_.notified().size() > before; }, std::chrono::milliseconds(300));
    };
    load();
    ASSERT_TRUE(test::run_until(db_.loop(), [&] { return !db_.notified().empty(); }));
    EXPECT_TRUE(notified_by("UPDATE messaging._endpoint_secret SET expires_at = now() + interval '1 h' WHERE endpoint_id = 2"));
    EXPECT_FALSE(notified_by("UPDATE messaging._endpoint_secret SET secret = secret")) << "sealed anew it is the same secret";
    EXPECT_FALSE(notified_by("DELETE FROM messaging._endpoint_secret WHERE endpoint_id = 77"));
    EXPECT_TRUE(notified_by("DELETE FROM messaging._endpoint_secret WHERE endpoint_id = 2"));
}

TEST_F(EndpointSecretsTest, TheTableTakesSecretsOnly) {
    pg::Session session = test::connect_or_abort(db_.url());
    const auto state = [&](const std::string& values) {
        const auto done = session.execute_script(
            "INSERT INTO messaging._endpoint_secret (endpoint_id, kind, secret, expires_at) VALUES " + values);
        return done ? "" : done.error().sqlstate;
    };
    const std::string good = "'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'";
    EXPECT_EQ(state("(2, 'v1', " + good + ", NULL)"), "");
    EXPECT_EQ(state("(2, 'v1', " + good + ", NULL)"), "23505") << "one is current";
    EXPECT_EQ(state("(2, 'v1', " + good + ", now())"), "");
    EXPECT_EQ(state("(2, 'v1a', " + good + ", NULL)"), "23514");
    EXPECT_EQ(state("(2, 'v2', " + good + ", NULL)"), "23514");
    EXPECT_EQ(state("(2, 'v1', 'my password', NULL)"), "23514");
    EXPECT_EQ(state("(2, 'v1', " + good + ", 'infinity')"), "23514");
    EXPECT_FALSE(session.execute_script("UPDATE messaging.endpoints SET signing = 'v2'").ok());
}

}  // namespace
}  // namespace messaging::repository
