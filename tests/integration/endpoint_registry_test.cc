// Endpoints as the API and SQL manage them, against a real PostgreSQL.
#include "repository/endpoint_registry.h"

#include <set>
#include <sstream>

#include "core/sqlstate.h"
#include "http/reserved_headers.h"
#include "repository/endpoint_figures_store.h"
#include "repository/instance_store.h"
#include "support/private_postgres.h"
#include "support/stores.h"

namespace messaging::repository {
namespace {

using service::CreatedEndpoint;
using service::EndpointChanges;
using service::EndpointPage;
using service::EndpointQuery;
using service::EndpointRef;
using service::EndpointView;
using service::StoredResponse;
using test::Stores;

EndpointChanges named(const std::string& name, const std::string& url = "http://shop.test/hook") {
    EndpointChanges changes;
    changes.name = name;
    changes.url = url;
    return changes;
}

EndpointRef by_name(const std::string& name) { return {std::nullopt, name}; }

class EndpointRegistry : public testing::Test {
protected:
    core::Result<CreatedEndpoint> create(const EndpointChanges& changes) {
        return db_.answer<CreatedEndpoint>([&](auto done) { registry_.create(changes, std::move(done)); });
    }
    core::Result<StoredResponse> create_once(const EndpointChanges& changes, const service::IdempotencyKey& key) {
        return db_.answer<StoredResponse>([&](auto done) {
            registry_.create_once(changes, key, {201, {"", ",", ",", ",", ""}}, std::move(done));
        });
    }
    core::Result<EndpointView> get(const EndpointRef& endpoint) {
        return db_.answer<EndpointView>([&](auto done) { registry_.get(endpoint, std::move(done)); });
    }
    core::Result<EndpointView> change(const EndpointRef& endpoint, const EndpointChanges& changes) {
        return db_.answer<EndpointView>([&](auto done) { registry_.change(endpoint, changes, std::move(done)); });
    }
    core::Result<EndpointView> remove(const EndpointRef& endpoint) {
        return db_.answer<EndpointView>([&](auto done) { registry_.remove(endpoint, std::move(done)); });
    }
    core::Result<EndpointView> disable(const EndpointRef& endpoint, const std::optional<std::string>& reason) {
        return db_.answer<EndpointView>([&](auto done) { registry_.disable(endpoint, reason, std::move(done)); });
    }
    core::Result<EndpointView> enable(const EndpointRef& endpoint) {
        return db_.answer<EndpointView>([&](auto done) { registry_.enable(endpoint, std::move(done)); });
    }
    std::string names(const EndpointQuery& query) {
        const auto page = db_.value<EndpointPage>([&](auto done) { registry_.list(query, std::move(done)); });
        std::string text;
        for (const EndpointView& endpoint : page.endpoints) text += (text.empty() ? "" : " ") + endpoint.name;
        next_ = page.next;
        return text;
    }
    // What SQL says to a row: empty when it is taken.
    std::string refusal(const std::string& columns, const std::string& values) {
        pg::Session session = test::connect_or_abort(db_.url());
        const auto result = session.execute_script("INSERT INTO messaging.endpoints (" + columns + ") VALUES (" + values + ")");
        return result ? "" : result.error().message;
    }

    Stores db_{test::fresh_database()};
    PgEndpointRegistry registry_{db_.open_session(api_session_settings()), db_.open_session(api_session_settings())};
    std::optional<core::EndpointId> next_;
};

TEST_F(EndpointRegistry, CreatesReadsChangesAndDeletes) {
    EndpointChanges shop = named("shop");
    shop.headers = R"({"x-team":"shop"})";
    shop.timeout_seconds = 5;
    const auto created = create(shop);
    ASSERT_TRUE(created) << created.error().message;
    EXPECT_EQ(created->id, 2);
    auto found = get({2, {}});
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_EQ(found->name, "shop");
    EXPECT_EQ(found->headers, R"({"x-team":"shop"})");
    EXPECT_EQ(found->max_in_flight, service::kDefaultMaxInFlight);
    EXPECT_EQ(found->timeout_seconds, 5);
    EXPECT_EQ(found->max_attempts, std::nullopt);
    EXPECT_EQ(found->state, core::EndpointState::kActive);
    EXPECT_EQ(found->created_at, created->created_at);
    EXPECT_EQ(found->updated_at, created->created_at);
    EXPECT_EQ(found->state_since, created->created_at) << "the answer to POST says so";

    EndpointChanges changes;
    changes.name = "store";
    changes.timeout_seconds.emplace(std::nullopt);
    changes.max_attempts = 3;
    changes.rate_limit = 7;
    found = change(by_name("shop"), changes);
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_EQ(found->name, "store");
    EXPECT_EQ(found->url, "http://shop.test/hook") << "what is not named stays";
    EXPECT_EQ(found->timeout_seconds, std::nullopt) << "null is the default";
    EXPECT_EQ(found->max_attempts, 3);
    EXPECT_EQ(found->rate_limit, 7);
    EXPECT_NE(found->updated_at, created->created_at);

    found = remove({2, {}});
    ASSERT_TRUE(found);
    EXPECT_EQ(found->name, "store") << "as it was";
    for (const auto& answer : {get({2, {}}), change({2, {}}, {}), remove({2, {}}), disable({2, {}}, {}), enable({2, {}})}) {
        ASSERT_FALSE(answer);
        EXPECT_EQ(answer.error().kind, core::ErrorKind::kNotFound);
    }
}

TEST_F(EndpointRegistry, TwoEndpointsCannotHaveOneName) {
    ASSERT_TRUE(create(named("shop")));
    ASSERT_TRUE(create(named("other")));
    const auto second = create(named("shop"));
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().kind, core::ErrorKind::kConflict);
    EXPECT_EQ(second.error().sqlstate, core::kUniqueViolation);
    EndpointChanges rename;
    rename.name = "shop";
    const auto renamed = change(by_name("other"), rename);
    ASSERT_FALSE(renamed);
    EXPECT_EQ(renamed.error().sqlstate, core::kUniqueViolation);
    EXPECT_EQ(create_once(named("shop"), {"POST /endpoints", "k", "f"}).error().sqlstate, core::kUniqueViolation);
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._idempotency_key"), 0) << "the key stays free";
}

TEST_F(EndpointRegistry, AKeyCreatesOneEndpoint) {
    const service::IdempotencyKey key{"POST /endpoints", "k", "f"};
    const auto first = create_once(named("shop"), key);
    ASSERT_TRUE(first) << first.error().message;
    EXPECT_FALSE(first->replayed);
    const auto again = create_once(named("shop"), key);
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_TRUE(again->replayed);
    EXPECT_EQ(again->body, first->body);
    const auto found = get(by_name("shop"));
    ASSERT_TRUE(found);
    EXPECT_EQ(first->body, "2," + found->created_at + "," + found->updated_at + "," + found->state_since);
    EXPECT_EQ(create_once(named("other"), {"POST /endpoints", "k", "g"}).error().kind, core::ErrorKind::kConflict);
}

TEST_F(EndpointRegistry, TheDefaultEndpointFollowsTheSettings) {
    for (const auto& changes : {named("other"), named("default", "http://other/")}) {
        const auto changed = change({1, {}}, changes);
        ASSERT_FALSE(changed);
        EXPECT_EQ(changed.error().kind, core::ErrorKind::kConflict);
        EXPECT_EQ(changed.error().sqlstate, "");
    }
    EndpointChanges limit;
    limit.max_in_flight = 3;
    EXPECT_FALSE(change({1, {}}, limit));
    EXPECT_FALSE(remove(by_name("default")));
    EndpointChanges headers;
    headers.headers = R"({"x-a":"b"})";
    EXPECT_TRUE(change(by_name("default"), headers));
}

TEST_F(EndpointRegistry, DisabledEndpointsKeepTheirMessagesAndEnabledOnesSendThemFirst) {
    ASSERT_TRUE(create(named("shop")));
    auto found = disable(by_name("shop"), "moving house");
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_EQ(found->state, core::EndpointState::kDisabled);
    EXPECT_EQ(found->state_reason, "moving house");
    EXPECT_NE(found->state_since, found->created_at);
    const std::string since = found->state_since;
    found = disable({2, {}}, "still");
    EXPECT_EQ(found->state_reason, "still");
    EXPECT_EQ(found->state_since, since);
    db_.sql("INSERT INTO messages (recipient, content, endpoint_id) VALUES ('a', 'b', 2), ('a', 'c', 2)");
    db_.sql("DELETE FROM messaging._queue");
    db_.sql("INSERT INTO messaging._hold (id, endpoint_id) VALUES (1, 2), (2, 2)");
    found = enable(by_name("shop"));
    EXPECT_EQ(found->state, core::EndpointState::kBacklogged) << "until nothing is held";
    EXPECT_EQ(found->health.held.count, 2);
    EXPECT_TRUE(found->health.oldest_held_at);
    db_.sql("DELETE FROM messaging._hold");
    EXPECT_EQ(enable(by_name("shop"))->state, core::EndpointState::kBacklogged) << "the engines end it";
    ASSERT_TRUE(disable(by_name("shop"), {}));
    found = enable(by_name("shop"));
    EXPECT_EQ(found->state, core::EndpointState::kActive);
    EXPECT_EQ(found->state_reason, std::nullopt);
}

TEST_F(EndpointRegistry, TellsTheEnginesOfEachChangeAtOnce) {
    PgInstanceStore instances(db_.open_session(listen_session_settings()));
    db_.value<core::InstanceId>([&](auto done) { instances.register_instance("listener", "", std::move(done)); });
    const auto expect_told = [this](const auto& act) {
        const std::size_t before = db_.notified().size();
        EXPECT_TRUE(act());
        EXPECT_TRUE(test::run_until(db_.loop(), [&] { return db_.notified().size() > before; }));
        EXPECT_EQ(db_.notified().back(), kControlChannel);
    };
    expect_told([this] { return create(named("shop")).ok(); });
    expect_told([this] { return disable(by_name("shop"), {}).ok(); });
    expect_told([this] { return enable(by_name("shop")).ok(); });
}

TEST_F(EndpointRegistry, ListsNewestFirstByStateTenantAndName) {
    for (const char* name : {"a", "b", "c", "d"}) {
        EndpointChanges changes = named(name);
        if (*name < 'c') changes.tenant = "acme";
        ASSERT_TRUE(create(changes));
    }
    ASSERT_TRUE(disable(by_name("b"), {}));
    EXPECT_EQ(names({}), "d c b a default");
    EXPECT_EQ(names({.tenant = "acme"}), "b a");
    EXPECT_EQ(names({.state = core::EndpointState::kDisabled}), "b");
    EXPECT_EQ(names({.name = "c"}), "c");
    EXPECT_EQ(names({.limit = 2}), "d c");
    ASSERT_TRUE(next_);
    EXPECT_EQ(names({.limit = 2, .after = next_}), "b a");
    EXPECT_EQ(names({.limit = 2, .after = next_}), "default");
    EXPECT_FALSE(next_);
}

TEST_F(EndpointRegistry, FindsEndpointsByNameAndById) {
    ASSERT_TRUE(create(named("shop")));
    using Found = std::vector<std::optional<core::EndpointId>>;
    EXPECT_EQ(db_.value<Found>([&](auto done) {
        registry_.find({"shop", "2", "default", "3", "99999999999999999999", "no", "shop"}, std::move(done));
    }),
              (Found{2, 2, 1, std::nullopt, std::nullopt, std::nullopt, 2}));
}

TEST_F(EndpointRegistry, HealthIsOfTheLast15MinutesAndOfWhatIsClaimed) {
    PgEndpointFiguresStore figures(db_.open_session(api_session_settings()));
    engine::EndpointFigures some{.endpoint = 1, .sent = 3, .failed = 1, .last_error = "bad"};
    some.durations[4] = 4;  // 10 to 20 ms
    for (int i = 0; i < 2; ++i) {
        db_.value<core::Unit>([&](auto done) { figures.add_figures({some}, std::move(done)); });
    }
    db_.sql(
        "INSERT INTO messaging._endpoint_minute SELECT 1, now() - interval '16 minutes', 100, 100, durations, 'old' FROM "
        "messaging._endpoint_minute");
    db_.sql("INSERT INTO messages (recipient, content) VALUES ('a', 'b'), ('a', 'c')");
    db_.sql("INSERT INTO messaging._claim SELECT 7, 1, ARRAY[id], ARRAY[0], ARRAY[generation] FROM messages WHERE id = 1");
    const auto found = get({1, {}});
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_EQ(found->health.sending, 1);
    EXPECT_EQ(found->health.sent, 6);
    EXPECT_EQ(found->health.failed, 2);
    EXPECT_EQ(found->health.success_ratio, 0.75);
    EXPECT_EQ(found->health.p50_ms, 15);
    EXPECT_EQ(found->health.p95_ms, 19.5);
    EXPECT_EQ(found->health.last_error, "bad");
    db_.sql("UPDATE messaging._endpoint_minute SET minute = minute - interval '1 day'");
    db_.value<core::Unit>([&](auto done) { figures.add_figures({some}, std::move(done)); });
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._endpoint_minute"), 1) << "older than a day";
}

TEST_F(EndpointRegistry, MoreThan5000HeldMessagesAreNotCounted) {
    db_.sql("INSERT INTO messaging._hold SELECT g, 1 FROM generate_series(1, 5000) g");
    EXPECT_EQ(get({1, {}})->health.held.count, 5000);
    EXPECT_TRUE(get({1, {}})->health.held.exact);
    db_.sql("INSERT INTO messaging._hold VALUES (5001, 1)");
    EXPECT_EQ(get({1, {}})->health.held.count, 5000);
    EXPECT_FALSE(get({1, {}})->health.held.exact);
}

TEST_F(EndpointRegistry, SqlHasTheSameRulesAndSaysWhatIsWrong) {
    const std::string url = ", 'http://a/'";
    for (const char* name : {"'a'", "'a b'", "'A.b_c-9'", "'1a'", "repeat('n', 100)"}) {
        EXPECT_EQ(refusal("name, url", name + url), "") << name;
    }
    for (const char* name : {"''", "'123'", "' a'", "'a '", "'a/b'", "E'a\\n'", "'\xC3\xA4'", "repeat('n', 101)"}) {
        EXPECT_EQ(refusal("name, url", name + url).substr(0, 10), "name must ") << name;
    }
    int number = 0;
    const auto next_name = [&number] { return "'endpoint " + std::to_string(++number) + "'"; };
    for (const char* good :
         {"http://a", "HTTPS://a:1/", "http://a:65535/x?y=@z#f", "http://[::1]:8080/", "http://user.example/a@b"}) {
        EXPECT_EQ(refusal("name, url", next_name() + ", '" + good + "'"), "") << good;
    }
    for (const char* bad :
         {"", "a", "ftp://a/", "http://", "http:///x", "http://a b/", "http://u:p@a/", "http://u@a/", "http://a:0/",
          "http://a:65536/", "http://a:x/", "http://[::1/", "http://a\\b/", "http://\xC3\xA4/"}) {
        EXPECT_EQ(refusal("name, url", next_name() + ", '" + bad + "'").substr(0, 9), "url must ") << bad;
    }
    EXPECT_EQ(refusal("name, url", next_name() + ", E'http://a/\\nx'").substr(0, 9), "url must ");
    EXPECT_EQ(refusal("name, url", next_name() + ", 'http://a/' || repeat('x', 8192)"), "url must not be longer than 8192 bytes");
    const auto with_headers = [&](const std::string& headers) {
        return refusal("name, url, headers", next_name() + url + ", '" + headers + "'");
    };
    EXPECT_EQ(with_headers(R"({"x-a": "tab\tand \u00e4", "X_b.c": ""})"), "");
    for (const char* bad :
         {"", "[]", "7", R"({"x": 1})", R"({"x": null})", R"({"": "a"})", R"({"a b": "c"})", R"({"x": "a\r\nb: c"})",
          R"({"x": "\u0000"})", R"({"x": "\u0001"})", R"({"x": "a", "X": "b"})", R"({"Webhook-Id": "a"})", R"({"host": "a"})",
          R"({"Content-Length": "1"})", R"({"Transfer-Encoding": "chunked"})", R"({"Connection": "close"})",
          R"({"User-Agent": "x"})", R"({"Proxy-Authorization": "x"})", R"({"expect": "100-continue"})"}) {
        EXPECT_EQ(with_headers(bad).substr(0, 12), "headers must") << bad;
    }
    // The trigger and http::reserved_headers() have the same names.
    const std::string reserved =
        db_.sql("SELECT substring(prosrc FROM '\\^\\((webhook[^)]*)\\)\\$') FROM pg_proc WHERE proname = '_check_endpoint'");
    std::set<std::string> in_trigger;
    std::istringstream alternatives(reserved);
    for (std::string name; std::getline(alternatives, name, '|');) {
        if (name.ends_with(".*")) name.replace(name.size() - 2, 2, "*");
        in_trigger.insert(name);
    }
    for (const http::ReservedHeader& header : http::reserved_headers()) {
        std::string name(header.name);
        in_trigger.erase(name);
        if (name.ends_with('*')) name.replace(name.size() - 1, 1, "some");
        EXPECT_EQ(with_headers("{\"" + name + "\": \"a\"}"),
                  "headers must not contain " + name + ": the service writes it, or HTTP does not allow it");
    }
    EXPECT_TRUE(in_trigger.empty()) << *in_trigger.begin() << " is not in src/http/reserved_headers.cc";
    std::string many = "{";
    for (int i = 0; i < 51; ++i) many += (i == 0 ? "\"x" : ", \"x") + std::to_string(i) + "\": \"\"";
    EXPECT_EQ(with_headers(many + "}"), "headers must not be more than 50");
    for (const auto& [column, good, bad] :
         std::vector<std::array<std::string, 3>>{{"max_in_flight", "10000", "10001"},
                                                 {"max_in_flight", "1", "0"},
                                                 {"timeout_seconds", "300", "301"},
                                                 {"timeout_seconds", "1", "0"},
                                                 {"max_attempts", "1000", "1001"},
                                                 {"rate_limit", "10000", "10001"},
                                                 {"rate_limit", "1", "0"},
                                                 {"signing", "'v1a'", "'v2'"},
                                                 {"signing", "'none'", "''"},
                                                 {"max_attempts", "1", "0"},
                                                 {"tenant", "repeat('t', 255)", "repeat('t', 256)"},
                                                 {"tenant", "NULL", "''"},
                                                 {"description", "repeat('d', 1024)", "repeat('d', 1025)"}}) {
        EXPECT_EQ(refusal("name, url, " + column, next_name() + url + ", " + good), "") << column << good;
        EXPECT_EQ(refusal("name, url, " + column, next_name() + url + ", " + bad).substr(0, column.size() + 6),
                  column + " must ");
    }
}

TEST_F(EndpointRegistry, SqlDisablesAndEnablesByNameAndByIdAndRefusesUnknownOnes) {
    EXPECT_EQ(db_.sql("SELECT name, state, state_reason FROM messaging.disable('default', 'why')"), "default|disabled|why");
    EXPECT_EQ(db_.sql("SELECT name, state FROM messaging.enable('1')"), "default|active");
    pg::Session session = test::connect_or_abort(db_.url());
    const auto refused = session.execute_script("SELECT messaging.disable('no such')");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().message, "there is no endpoint \"no such\"");
}

}  // namespace
}  // namespace messaging::repository
