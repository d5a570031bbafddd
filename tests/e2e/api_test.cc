// The HTTP API as its users meet it: every documented answer, and hostile input.
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "core/message.h"
#include "service/message_store.h"
#include "support/contract.h"
#include "support/places.h"
#include "support/private_postgres.h"
#include "support/raw_tcp.h"
#include "support/stores.h"
#include "support/world.h"

namespace messaging::test {
namespace {

constexpr const char* kToken = "right-token";

// A stopped worker, so that nothing moves but by the test's own requests.
class ApiTest : public testing::Test {
protected:
    explicit ApiTest(std::unique_ptr<PrivatePostgres> own_postgres = nullptr)
        : postgres_(std::move(own_postgres)),
          service_({{"WEBHOOK_URL", receiver_.url()}, {"API_TOKEN", kToken}, {"DOCS_DIR", source_file("api-docs/pages")}},
                   migrated(postgres_ ? postgres_->create_database("api") : empty_database())) {
        EXPECT_EQ(ask("POST", "/stop").status, 200);
        // The sessions for lists and writes connect by themselves.
        EXPECT_TRUE(wait_until([this] { return ask("GET", "/status").status == 200; }));
    }

    HttpReply ask(const std::string& method, const std::string& path, const std::string& body = "", http::Headers headers = {}) {
        headers.emplace_back("Authorization", std::string("Bearer ") + kToken);
        return call(method, service_.url(path), body, std::move(headers));
    }
    HttpReply post(const std::string& body, http::Headers headers = {}) {
        return ask("POST", "/messages", body, std::move(headers));
    }
    static std::string text_of(const HttpReply& reply, const std::vector<std::string>& path) {
        const auto document = core::JsonDocument::parse(reply.body);
        if (!document) return "not JSON: " + reply.body;
        core::JsonView view = document->root();
        for (const std::string& step : path) {
            if (view.is_array()) {
                const auto index = static_cast<std::size_t>(std::stoi(step));
                if (index >= view.size()) return "missing";
                view = view.at(index);
            } else {
                const auto next = view.member(step);
                if (!next) return "missing";
                view = *next;
            }
        }
        return view.is_null() ? "null" : std::string(view.text());
    }
    static std::string code(const HttpReply& reply) { return text_of(reply, {"meta", "code"}); }

    std::unique_ptr<PrivatePostgres> postgres_;  // null: the one that the tests share
    Receiver receiver_;
    Service service_;
};

std::string text_of_state(const Service& service) {
    const auto document = core::JsonDocument::parse(call("GET", service.url("/status")).body);
    const auto data = document ? document->root().member("data") : std::nullopt;
    const auto state = data ? data->member("state") : std::nullopt;
    return state ? std::string(state->text()) : "unknown";
}

class ApiWithoutPostgres : public ApiTest {
protected:
    ApiWithoutPostgres() : ApiTest(std::make_unique<PrivatePostgres>()) {}

    void expect(const std::string& method, const std::string& path, const std::string& body, int status,
                const std::string& its_code) {
        const HttpReply reply = ask(method, path, body);
        EXPECT_EQ(reply.status, status) << method << " " << path << " " << body << reply.body;
        EXPECT_EQ(code(reply), its_code.empty() ? "missing" : its_code) << method << " " << path << " " << body;
    }
    // The message 1 is pending.
    void reach_answers_of_cancel() {
        expect("POST", "/messages/1/cancel", "{", 400, "invalid_json");
        expect("POST", "/messages/1/cancel?x=1", "", 400, "unknown_parameter");
        expect("POST", "/messages/x/cancel", "", 400, "invalid_id");
        expect("POST", "/messages/1/cancel", R"({"reason": 7})", 422, "invalid_field");
        expect("POST", "/messages/1/cancel", std::string((5u << 20) + 1, ' '), 413, "body_too_large");
        EXPECT_EQ(ask("POST", "/messages/1/cancel", "{}", {{"Content-Type", "text/plain"}}).status, 415);
        expect("POST", "/messages/999/cancel", "", 404, "message_not_found");
        expect("POST", "/messages/1/cancel", "", 200, "");
        expect("POST", "/messages/1/cancel", "", 409, "not_cancellable");
    }
    // The endpoint 2 is "shop".
    void reach_answers_of_test() {
        expect("POST", "/endpoints/1/test", "", 200, "");
        expect("POST", "/endpoints/default/test", "", 429, "too_many_tests");
        EXPECT_EQ(ask("POST", "/endpoints/1/test").header("retry-after"), "1");
        expect("POST", "/endpoints/1/test", "{", 400, "invalid_json");
        expect("POST", "/endpoints/1/test", R"({"data": ")" + std::string(256u << 10, 'x') + "\"}", 400, "invalid_json");
        expect("POST", "/endpoints/1/test?x=1", "", 400, "unknown_parameter");
        expect("POST", "/endpoints/" + std::string(101, 'a') + "/test", "", 400, "invalid_id");
        expect("POST", "/endpoints/nobody/test", "", 404, "endpoint_not_found");
        expect("POST", "/endpoints/1/test", "[]", 422, "invalid_item");
        expect("POST", "/endpoints/1/test", R"({"type": 7})", 422, "invalid_field");
        expect("POST", "/endpoints/1/test", R"({"type": ""})", 422, "invalid_field");
        expect("POST", "/endpoints/1/test", R"({"x": 7})", 422, "unknown_field");
        expect("POST", "/endpoints/1/test", std::string((5u << 20) + 1, ' '), 413, "body_too_large");
        EXPECT_EQ(ask("POST", "/endpoints/1/test", "{}", {{"Content-Type", "text/plain"}}).status, 415);
        service_.sql("UPDATE messaging.endpoints SET url = 'http://10.0.0.5/' WHERE id = 2");
        expect("POST", "/endpoints/2/test", "", 422, "address_not_allowed");
    }
    void reach_answers_of_endpoints() {
        const std::string shop = R"({"name": "shop", "url": "http://shop.test/"})";
        expect("POST", "/endpoints", shop, 201, "");
        expect("POST", "/endpoints", shop, 409, "endpoint_name_taken");
        expect("POST", "/endpoints", "{", 400, "invalid_json");
        expect("POST", "/endpoints?x=1", shop, 400, "unknown_parameter");
        expect("POST", "/endpoints", "[]", 422, "invalid_item");
        expect("POST", "/endpoints", R"({"name": "a"})", 422, "invalid_field");
        expect("POST", "/endpoints", R"({"name": "a", "url": "http://a/", "x": 1})", 422, "unknown_field");
        expect("POST", "/endpoints", std::string((5u << 20) + 1, ' '), 413, "body_too_large");
        EXPECT_EQ(ask("POST", "/endpoints", shop, {{"Content-Type", "text/plain"}}).status, 415);
        EXPECT_EQ(code(ask("POST", "/endpoints", shop, {{"Idempotency-Key", "a b"}})), "invalid_idempotency_key");
        expect("GET", "/endpoints?state=active&tenant=a&name=b&limit=5", "", 200, "");
        expect("GET", "/endpoints?state=x", "", 400, "invalid_parameter");
        expect("GET", "/endpoints/shop", "", 200, "");
        expect("GET", "/endpoints/2?x=1", "", 400, "unknown_parameter");
        expect("GET", "/endpoints/" + std::string(101, 'a'), "", 400, "invalid_id");
        expect("GET", "/endpoints/nobody", "", 404, "endpoint_not_found");
        expect("PATCH", "/endpoints/2", R"({"max_in_flight": 2})", 200, "");
        expect("PATCH", "/endpoints/2", "{", 400, "invalid_json");
        expect("PATCH", "/endpoints/nobody", "{}", 404, "endpoint_not_found");
        expect("PATCH", "/endpoints/1", R"({"url": "http://b/"})", 409, "endpoint_is_default");
        expect("PATCH", "/endpoints/2", R"({"name": "default"})", 409, "endpoint_name_taken");
        expect("PATCH", "/endpoints/2", R"({"max_in_flight": 0})", 422, "invalid_field");
        expect("PATCH", "/endpoints/2", std::string((5u << 20) + 1, ' '), 413, "body_too_large");
        EXPECT_EQ(ask("PATCH", "/endpoints/2", "{}", {{"Content-Type", "text/plain"}}).status, 415);
        expect("POST", "/endpoints/2/disable", "", 200, "");
        expect("POST", "/endpoints/2/disable", R"({"reason": "maintenance"})", 200, "");
        expect("POST", "/endpoints/2/disable", "{", 400, "invalid_json");
        expect("POST", "/endpoints/nobody/disable", "", 404, "endpoint_not_found");
        expect("POST", "/endpoints/2/disable", R"({"reason": 7})", 422, "invalid_field");
        expect("POST", "/endpoints/2/disable", std::string((5u << 20) + 1, ' '), 413, "body_too_large");
        EXPECT_EQ(ask("POST", "/endpoints/2/disable", "{}", {{"Content-Type", "text/plain"}}).status, 415);
        expect("POST", "/endpoints/2/enable", "", 200, "");
        expect("POST", "/endpoints/2/enable?x=1", "", 400, "unknown_parameter");
        expect("POST", "/endpoints/nobody/enable", "", 404, "endpoint_not_found");
        expect("GET", "/endpoints/2/secret", "", 200, "");
        expect("GET", "/endpoints/2/secret?x=1", "", 400, "unknown_parameter");
        expect("GET", "/endpoints/nobody/secret", "", 404, "endpoint_not_found");
        expect("GET", "/endpoints/1/secret", "", 409, "endpoint_not_signed");
        expect("POST", "/endpoints/2/secret/rotate", "", 200, "");
        expect("POST", "/endpoints/2/secret/rotate", "{", 400, "invalid_json");
        expect("POST", "/endpoints/nobody/secret/rotate", "", 404, "endpoint_not_found");
        expect("POST", "/endpoints/1/secret/rotate", "", 409, "endpoint_not_signed");
        expect("POST", "/endpoints/2/secret/rotate", R"({"overlap_seconds": -1})", 422, "invalid_field");
        expect("POST", "/endpoints/2/secret/rotate", std::string((5u << 20) + 1, ' '), 413, "body_too_large");
        EXPECT_EQ(ask("POST", "/endpoints/2/secret/rotate", "{}", {{"Content-Type", "text/plain"}}).status, 415);
        reach_answers_of_test();
        expect("DELETE", "/endpoints/2", "", 200, "");
        expect("DELETE", "/endpoints/2", "", 404, "endpoint_not_found");
        expect("DELETE", "/endpoints/2?x=1", "", 400, "unknown_parameter");
        expect("DELETE", "/endpoints/default", "", 409, "endpoint_is_default");
    }
    void reach_answers_of_events() {
        const std::string paid = R"({"type": "invoice.paid", "data": {"id": 7}})";
        expect("POST", "/events", paid, 201, "");
        expect("POST", "/events", "[" + paid + R"(, {"type": "a"}])", 207, "");
        expect("POST", "/events", "{", 400, "invalid_json");
        expect("POST", "/events?x=1", paid, 400, "unknown_parameter");
        expect("POST", "/events", "[]", 422, "no_items");
        expect("POST", "/events", R"({"type": "messaging.test", "data": 1})", 422, "invalid_field");
        expect("POST", "/events", std::string((5u << 20) + 1, ' '), 413, "body_too_large");
        EXPECT_EQ(ask("POST", "/events", paid, {{"Content-Type", "text/plain"}}).status, 415);
        {
            auto other = connect_or_abort(service_.database_url());
            ASSERT_TRUE(
                other.execute_script("BEGIN; INSERT INTO messaging._idempotency_key (scope, key, fingerprint, status) VALUES "
                                     "('POST /events', 'k', 'x', "
                                     "201)"));
            EXPECT_EQ(ask("POST", "/events", paid, {{"Idempotency-Key", "k"}}).status, 409);
        }
        expect("GET", "/events?type=invoice.paid&since=2026-01-02T03:04:05Z&until=2027-01-02T03:04:05Z&limit=5", "", 200, "");
        expect("GET", "/events?type=.", "", 400, "invalid_parameter");
        expect("GET", "/events?since=yesterday", "", 400, "invalid_parameter");
        expect("GET", "/events?until=2026-01-02T03:04:05Z&cursor=x", "", 400, "invalid_cursor");
        expect("GET", "/events/1", "", 200, "");
        expect("GET", "/events/x", "", 400, "invalid_id");
        expect("GET", "/events/999", "", 404, "event_not_found");
    }
    void reach_answers_of_replays() {
        const std::string dead = R"({"status": "dead"})";
        expect("POST", "/replays", dead, 202, "");
        expect("POST", "/replays", R"({"endpoint": "default", "dry_run": true})", 200, "");
        expect("POST", "/replays", "{", 400, "invalid_json");
        expect("POST", "/replays?x=1", dead, 400, "unknown_parameter");
        expect("POST", "/replays", "{}", 422, "filter_too_wide");
        expect("POST", "/replays", R"({"endpoint": "nobody"})", 422, "invalid_field");
        expect("POST", "/replays", R"({"endpoint": "nobody", "dry_run": true})", 422, "invalid_field");
        expect("POST", "/replays", std::string((5u << 20) + 1, ' '), 413, "body_too_large");
        EXPECT_EQ(ask("POST", "/replays", dead, {{"Content-Type", "text/plain"}}).status, 415);
        EXPECT_EQ(code(ask("POST", "/replays", dead, {{"Idempotency-Key", "a b"}})), "invalid_idempotency_key");
        expect("GET", "/replays?limit=5", "", 200, "");
        expect("GET", "/replays?limit=0", "", 400, "invalid_parameter");
        expect("GET", "/replays?cursor=x", "", 400, "invalid_cursor");
        expect("GET", "/replays?state=done", "", 400, "unknown_parameter");
        expect("GET", "/replays/1", "", 200, "");
        expect("GET", "/replays/x", "", 400, "invalid_id");
        expect("GET", "/replays/999", "", 404, "replay_not_found");
        // It may have ended by itself already.
        service_.sql(
            "INSERT INTO messaging._replay (status, first_id, last_id, walked_to, created_by, batch_ids, batch_generations, "
            "endpoint_id) SELECT 'dead', 0, 1, 0, 'test', ARRAY[m.id], ARRAY[m.generation], 1 FROM messages m WHERE "
            "m.id = (SELECT q.id FROM messaging._queue q LIMIT 1)");
        const std::string id = service_.sql("SELECT max(id) FROM messaging._replay");
        expect("POST", "/replays/" + id + "/cancel", "", 200, "");
        expect("POST", "/replays/" + id + "/cancel", "", 409, "not_cancellable");
        expect("POST", "/replays/999/cancel", "", 404, "replay_not_found");
        expect("POST", "/replays/x/cancel", "", 400, "invalid_id");
        expect("POST", "/replays/1/cancel", std::string((5u << 20) + 1, ' '), 413, "body_too_large");
        service_.sql("SELECT messaging.disable('default')");
        service_.sql("INSERT INTO messaging._dead (id, reason) SELECT id, 'x' FROM messages ON CONFLICT DO NOTHING");
        service_.sql("SELECT count(messaging.cancel_replay(id)) FROM messaging.replays");  // of those that have not ended yet
        service_.sql("SELECT count(messaging.replay('default')) FROM generate_series(1, 100)");
        expect("POST", "/replays", dead, 409, "too_many_replays");
        EXPECT_EQ(code(ask("POST", "/replays", dead, {{"Idempotency-Key", "many"}})), "too_many_replays");
        service_.sql("SELECT count(messaging.cancel_replay(id)) FROM messaging.replays");
    }
    std::vector<std::pair<std::string, std::string>> guarded_endpoint_calls() {
        return {{"GET", "/endpoints"},
                {"POST", "/endpoints"},
                {"GET", "/endpoints/1"},
                {"PATCH", "/endpoints/1"},
                {"DELETE", "/endpoints/1"},
                {"POST", "/endpoints/1/disable"},
                {"POST", "/endpoints/1/enable"},
                {"GET", "/endpoints/1/secret"},
                {"POST", "/endpoints/1/secret/rotate"},
                {"POST", "/endpoints/1/test"},
                {"GET", "/events"},
                {"POST", "/events"},
                {"GET", "/events/1"},
                {"GET", "/replays"},
                {"POST", "/replays"},
                {"GET", "/replays/1"},
                {"POST", "/replays/1/cancel"}};
    }
};

TEST_F(ApiWithoutPostgres, ReachesEveryDocumentedAnswer) {
    const std::string one = R"({"recipient": "+1", "content": "x"})";
    // Worker.
    EXPECT_EQ(ask("POST", "/start").status, 200);
    EXPECT_EQ(ask("POST", "/stop").status, 200);
    EXPECT_EQ(ask("GET", "/status").status, 200);
    EXPECT_EQ(ask("POST", "/start?x=1").status, 400);
    EXPECT_EQ(ask("POST", "/stop?x=1").status, 400);
    EXPECT_EQ(ask("GET", "/status?x=1").status, 400);
    // Messages.
    EXPECT_EQ(post(one).status, 201);
    EXPECT_EQ(post("[" + one + R"(, {"recipient": "+1"}])").status, 207);
    EXPECT_EQ(post("{").status, 400);
    EXPECT_EQ(post(one, {{"Content-Type", "text/plain"}}).status, 415);
    EXPECT_EQ(post("[]").status, 422);
    {
        auto other = connect_or_abort(service_.database_url());
        ASSERT_TRUE(
            other.execute_script("BEGIN; INSERT INTO messaging._idempotency_key (scope, key, fingerprint, status) VALUES ('POST "
                                 "/messages', 'k', 'x', 201)"));
        EXPECT_EQ(post(one, {{"Idempotency-Key", "k"}}).status, 409);
    }
    EXPECT_EQ(post(std::string((5u << 20) + 1, ' ')).status, 413);
    EXPECT_EQ(ask("GET", "/messages?status=all").status, 200);
    EXPECT_EQ(ask("GET", "/messages?limit=0").status, 400);
    EXPECT_EQ(ask("GET", "/messages/1").status, 200);
    EXPECT_EQ(ask("GET", "/messages/x").status, 400);
    EXPECT_EQ(ask("GET", "/messages/999").status, 404);
    EXPECT_EQ(ask("POST", "/messages/x/retry").status, 400);
    EXPECT_EQ(ask("POST", "/messages/999/retry").status, 404);
    EXPECT_EQ(ask("POST", "/messages/1/retry").status, 409);
    service_.sql("DELETE FROM messaging._queue");
    service_.sql("INSERT INTO messaging._dead (id, reason) VALUES (1, 'x')");
    const HttpReply queued = ask("POST", "/messages/1/retry");
    EXPECT_EQ(queued.status, 202);
    EXPECT_EQ(text_of(queued, {"data", "status"}), "pending");
    reach_answers_of_cancel();
    reach_answers_of_endpoints();
    reach_answers_of_events();
    reach_answers_of_replays();
    // Watching, and the pages.
    EXPECT_EQ(ask("GET", "/metrics").status, 200);
    EXPECT_EQ(ask("GET", "/livez").status, 200);
    EXPECT_EQ(ask("GET", "/readyz?verbose").status, 200);
    EXPECT_EQ(ask("GET", "/").status, 200);
    EXPECT_EQ(ask("GET", "/docs").status, 302);
    const HttpReply page = ask("GET", "/docs/index.html");
    EXPECT_EQ(page.status, 200);
    EXPECT_EQ(ask("GET", "/docs/index.html", "", {{"If-None-Match", std::string(page.header("etag").value_or(""))}}).status, 304);
    EXPECT_EQ(ask("GET", "/docs/missing.html").status, 404);
    // Without the token.
    std::vector<std::pair<std::string, std::string>> guarded{{"POST", "/start"},
                                                             {"POST", "/stop"},
                                                             {"GET", "/status"},
                                                             {"GET", "/messages"},
                                                             {"POST", "/messages"},
                                                             {"GET", "/messages/1"},
                                                             {"POST", "/messages/1/retry"},
                                                             {"POST", "/messages/1/cancel"},
                                                             {"GET", "/metrics"}};
    for (auto& call : guarded_endpoint_calls()) guarded.push_back(std::move(call));
    for (const auto& [method, path] : guarded) {
        EXPECT_EQ(call(method, service_.url(path)).status, 401) << path;
        EXPECT_EQ(call(method, service_.url(path), "", {{"Authorization", "Bearer wrong-token"}}).status, 401) << path;
    }
    // Without PostgreSQL.
    postgres_->stop();
    ASSERT_TRUE(wait_until([&] { return ask("GET", "/readyz").status == 503; }));
    EXPECT_EQ(code(ask("GET", "/readyz")), "not_ready");
    EXPECT_EQ(text_of(ask("GET", "/readyz"), {"meta", "checks", "0", "name"}), "postgres");
    EXPECT_EQ(ask("POST", "/start").status, 503);
    EXPECT_EQ(ask("POST", "/stop").status, 503);
    EXPECT_EQ(ask("GET", "/status").status, 503);
    EXPECT_EQ(ask("GET", "/messages").status, 503);
    EXPECT_EQ(post(one).status, 503);
    EXPECT_EQ(ask("GET", "/messages/1").status, 503);
    EXPECT_EQ(ask("POST", "/messages/1/retry").status, 503);
    EXPECT_EQ(ask("POST", "/messages/1/cancel").status, 503);
    for (const auto& [method, path] : guarded_endpoint_calls()) {
        const bool creates = path == "/endpoints" && method == "POST";
        std::string body = creates ? R"({"name": "a", "url": "http://a/"})" : method == "PATCH" ? "{}" : "";
        if (path == "/events" && method == "POST") body = R"({"type": "a", "data": 1})";
        if (path == "/replays" && method == "POST") body = R"({"status": "dead"})";
        EXPECT_EQ(ask(method, path, body).status, 503) << method << path;
    }
    EXPECT_EQ(ask("GET", "/livez").status, 200) << "alive without PostgreSQL";
    postgres_->start();
    EXPECT_TRUE(wait_until([&] { return ask("GET", "/readyz").status == 200; }));

    std::string missing;
    for (const std::string& answer : contract().documented()) missing += contract().seen().contains(answer) ? "" : answer + "\n";
    EXPECT_EQ(missing, "") << "documented, and never answered";
}

TEST_F(ApiTest, AnEndpointIsCreatedOnceForEachKeyAndShownAsItIs) {
    const std::string shop =
        R"({"name": "shop", "url": "http://shop.test/hook", "headers": {"x-team": "\u00e4"}, "tenant": "acme", "max_attempts": 3, "rate_limit": 50})";
    const HttpReply first = ask("POST", "/endpoints", shop, {{"Idempotency-Key", "k"}});
    ASSERT_EQ(first.status, 201) << first.body;
    const HttpReply again = ask("POST", "/endpoints", shop, {{"Idempotency-Key", "k"}});
    EXPECT_EQ(again.status, 201);
    EXPECT_EQ(again.body, first.body);
    EXPECT_EQ(again.header("idempotent-replayed"), "true");
    EXPECT_EQ(ask("POST", "/endpoints", "{}", {{"Idempotency-Key", "k"}}).status, 422);
    const std::string other = R"({"name": "other", "url": "http://other.test/"})";
    EXPECT_EQ(code(ask("POST", "/endpoints", other, {{"Idempotency-Key", "k"}})), "idempotency_key_reused");
    const auto data_of = [](const HttpReply& reply) {
        const std::size_t begin = reply.body.find("\"data\":");
        return reply.body.substr(begin, reply.body.rfind(",\"meta\"") - begin);
    };
    EXPECT_EQ(data_of(first), data_of(ask("GET", "/endpoints/shop"))) << "the answer to POST is the endpoint as GET has it";
    EXPECT_EQ(text_of(first, {"data", "headers", "x-team"}), "\xC3\xA4");
    const HttpReply plain = ask("POST", "/endpoints", other);
    EXPECT_EQ(data_of(plain), data_of(ask("GET", "/endpoints/" + text_of(plain, {"data", "id"}))));
}

TEST_F(ApiTest, AReplayIsStartedOnceForEachKeyAndShownAsItIs) {
    ask("POST", "/endpoints", R"({"name": "shop", "url": "http://shop.test/"})");
    const std::string filter =
        R"({"endpoint": "2", "status": "both", "since": "2026-01-02T03:04:05+03:00", "event_type": "a.*", "tenant": "\u00e4"})";
    const HttpReply first = ask("POST", "/replays", filter, {{"Idempotency-Key", "k"}});
    ASSERT_EQ(first.status, 202) << first.body;
    const HttpReply again = ask("POST", "/replays", filter, {{"Idempotency-Key", "k"}});
    EXPECT_EQ(again.status, 202);
    EXPECT_EQ(again.body, first.body);
    EXPECT_EQ(again.header("idempotent-replayed"), "true");
    EXPECT_EQ(code(ask("POST", "/replays", R"({"status": "dead"})", {{"Idempotency-Key", "k"}})), "idempotency_key_reused");
    EXPECT_EQ(service_.sql("SELECT count(*) FROM messaging.replays"), "1");
    EXPECT_EQ(text_of(first, {"data", "filter", "endpoint"}), "shop");
    EXPECT_EQ(text_of(first, {"data", "filter", "since"}), "2026-01-02T00:04:05.000000Z");
    const auto head_of = [](const HttpReply& reply) {  // up to the progress, which may have changed
        const std::size_t begin = reply.body.find("{\"id\"");
        return reply.body.substr(begin, reply.body.find(",\"progress\"") - begin);
    };
    ASSERT_TRUE(wait_until([&] { return text_of(ask("GET", "/replays/1"), {"data", "state"}) == "done"; }));
    const auto without_state = [&](std::string text) {
        return text.erase(text.find("\"state\""), text.find("\"filter\"") - text.find("\"state\""));
    };
    EXPECT_EQ(without_state(head_of(first)), without_state(head_of(ask("GET", "/replays/1"))));
    EXPECT_EQ(text_of(first, {"data", "created_at"}), text_of(ask("GET", "/replays/1"), {"data", "created_at"}));
    EXPECT_EQ(text_of(first, {"data", "created_by"}), "api 127.0.0.1");
    const HttpReply plain = ask("POST", "/replays", R"({"status": "dead"})", {{"Idempotency-Key", "no-endpoint"}});
    EXPECT_EQ(text_of(plain, {"data", "filter", "endpoint_id"}), "null");
    EXPECT_EQ(text_of(plain, {"data", "id"}), "2");
}

TEST_F(ApiTest, ListsOfReplaysHavePages) {
    for (int i = 0; i < 3; ++i) EXPECT_EQ(ask("POST", "/replays", R"({"status": "dead"})").status, 202);
    const HttpReply page = ask("GET", "/replays?limit=2");
    EXPECT_EQ(text_of(page, {"data", "0", "id"}), "3");
    const HttpReply next = ask("GET", "/replays?limit=2&cursor=" + text_of(page, {"meta", "next_cursor"}));
    EXPECT_EQ(text_of(next, {"data", "0", "id"}), "1");
    EXPECT_EQ(text_of(next, {"meta", "next_cursor"}), "null");
}

TEST_F(ApiTest, ADryRunCountsAndStartsNothing) {
    service_.sql("INSERT INTO messages (recipient, content, is_sent) SELECT '+1', 'x', true FROM generate_series(1, 7)");
    const HttpReply dry =
        ask("POST", "/replays", R"({"endpoint": "default", "status": "sent", "dry_run": true})", {{"Idempotency-Key", "k"}});
    EXPECT_EQ(dry.status, 200);
    EXPECT_NE(dry.body.find(R"("matching":{"count":7,"exact":true})"), std::string::npos) << dry.body;
    EXPECT_EQ(service_.sql("SELECT count(*) FROM messaging.replays"), "0");
    EXPECT_EQ(ask("POST", "/replays", R"({"endpoint": "default", "status": "sent"})", {{"Idempotency-Key", "k"}}).status, 202)
        << "it takes no key";
}

TEST_F(ApiTest, WhatIsWrongWithAnEndpointIsSaidWithItsField) {
    const auto refused = [&](const std::string& members, const std::string& its_code, const std::string& field) {
        const HttpReply reply = ask("POST", "/endpoints", R"({"name": "a", "url": "http://a/", )" + members + "}");
        EXPECT_EQ(reply.status, 422) << members << reply.body;
        EXPECT_EQ(code(reply), its_code) << members;
        EXPECT_EQ(text_of(reply, {"meta", "field"}), field) << members;
    };
    refused(R"("headers": {"a": 1})", "invalid_field", "headers");
    refused(R"("headers": {"a": "b\r\nc: d"})", "invalid_field", "headers");
    refused(R"("headers": {"a": "b", "A": "b"})", "invalid_field", "headers");
    refused(R"("headers": {"a": "b", "a": "b"})", "invalid_field", "headers");
    refused(R"("headers": {"webhook-id": "x"})", "invalid_field", "headers");
    refused(R"("headers": [])", "invalid_field", "headers");
    refused(R"("max_in_flight": 1.5)", "invalid_field", "max_in_flight");
    refused(R"("max_in_flight": "1")", "invalid_field", "max_in_flight");
    refused(R"("max_in_flight": 99999999999)", "invalid_field", "max_in_flight");
    refused(R"("timeout_seconds": 301)", "invalid_field", "timeout_seconds");
    refused(R"("max_attempts": 0)", "invalid_field", "max_attempts");
    refused(R"("rate_limit": 0)", "invalid_field", "rate_limit");
    refused(R"("tenant": "")", "invalid_field", "tenant");
    refused(R"("tenant": "a\u0000")", "invalid_field", "tenant");
    refused(R"("description": 5)", "invalid_field", "description");
    refused(R"("name": "a")", "invalid_item", "name");
    refused(R"("state": "active")", "unknown_field", "state");
    for (const char* url : {"", "ftp://a/", "http://u:p@a/", "http://", "http://a b/", "http://a:70000/", "//a/"}) {
        const HttpReply reply = ask("POST", "/endpoints", R"({"name": "a", "url": ")" + std::string(url) + "\"}");
        EXPECT_EQ(code(reply), "invalid_field") << url;
        EXPECT_EQ(text_of(reply, {"meta", "field"}), "url") << url;
    }
    for (const char* url : {"http://10.0.0.1/", "http://169.254.169.254/latest", "http://[fd00::1]/", "http://0x0a000001/"}) {
        const HttpReply reply = ask("POST", "/endpoints", R"({"name": "a", "url": ")" + std::string(url) + "\"}");
        EXPECT_EQ(reply.status, 422) << url;
        EXPECT_EQ(code(reply), "address_not_allowed") << url << reply.body;
    }
    EXPECT_EQ(text_of(ask("PATCH", "/endpoints/1", R"({"name": null})"), {"meta", "field"}), "name");
    EXPECT_EQ(service_.sql("SELECT count(*) FROM messaging.endpoints"), "1") << "nothing was created";
}

TEST_F(ApiTest, SecretsAreShownToTheirOwnerAndRotated) {
    service_.sql("INSERT INTO messaging.endpoints (name, url) VALUES ('shop', 'http://shop.test/')");
    const HttpReply first = ask("GET", "/endpoints/shop/secret");
    ASSERT_EQ(first.status, 200) << first.body;
    const std::string secret = text_of(first, {"data", "secret"});
    EXPECT_EQ(secret.substr(0, 6), "whsec_");
    EXPECT_EQ(text_of(first, {"data", "public_key"}), "null");
    EXPECT_EQ(text_of(ask("GET", "/endpoints/2/secret"), {"data", "secret"}), secret);
    const HttpReply second = ask("POST", "/endpoints/shop/secret/rotate", R"({"overlap_seconds": 60})");
    EXPECT_NE(text_of(second, {"data", "secret"}), secret);
    EXPECT_NE(text_of(second, {"data", "previous", "0", "expires_at"}), "missing");
    const std::string given = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const HttpReply third =
        ask("POST", "/endpoints/shop/secret/rotate", R"({"secret": ")" + given + R"(", "overlap_seconds": 0})");
    EXPECT_EQ(text_of(third, {"data", "secret"}), given);
    EXPECT_EQ(text_of(third, {"data", "previous", "0"}).substr(0, 7), "missing") << "0 ends all of them";
    for (int i = 0; i < 10; ++i) EXPECT_EQ(ask("POST", "/endpoints/shop/secret/rotate").status, 200);
    EXPECT_EQ(code(ask("POST", "/endpoints/shop/secret/rotate")), "too_many_secrets");
    const HttpReply wrong = ask("POST", "/endpoints/shop/secret/rotate", R"({"secret": "whsec_short"})");
    EXPECT_EQ(code(wrong), "invalid_field");
    EXPECT_EQ(text_of(wrong, {"meta", "field"}), "secret");
    EXPECT_EQ(wrong.body.find("short"), std::string::npos) << "nothing of a secret is quoted";
    EXPECT_EQ(ask("PATCH", "/endpoints/shop", R"({"signing": "v1a"})").status, 200);
    EXPECT_EQ(text_of(ask("GET", "/endpoints/shop/secret"), {"data", "public_key"}).substr(0, 5), "whpk_");
    EXPECT_EQ(text_of(ask("GET", "/endpoints/shop/secret"), {"data", "secret"}), "null");
    EXPECT_EQ(text_of(ask("PATCH", "/endpoints/shop", R"({"signing": "v2"})"), {"meta", "field"}), "signing");
    for (const char* path : {"/endpoints", "/endpoints/shop"}) {
        EXPECT_EQ(ask("GET", path).body.find("whs"), std::string::npos) << "never in a list";
    }
    EXPECT_EQ(service_.output().find("whsec_"), std::string::npos) << "never in the log";
}

TEST_F(ApiTest, AMessageNamesItsEndpointByNameOrById) {
    service_.sql("INSERT INTO messaging.endpoints (name, url) VALUES ('shop', 'http://shop.test/')");
    const auto to = [](const std::string& endpoint) {
        return R"({"recipient": "+1", "content": "x", "endpoint": ")" + endpoint + "\"}";
    };
    EXPECT_EQ(post(to("shop")).status, 201);
    EXPECT_EQ(post(to("2")).status, 201);
    const HttpReply refused = post(to("nobody"));
    EXPECT_EQ(refused.status, 422);
    EXPECT_EQ(code(refused), "invalid_field");
    EXPECT_EQ(text_of(refused, {"meta", "field"}), "endpoint");
    const HttpReply some = post("[" + to("nobody") + R"(, {"recipient": "+1"}, )" + to("default") + ", " + to("shop") + "]");
    EXPECT_EQ(some.status, 207) << some.body;
    EXPECT_EQ(text_of(some, {"data", "0", "code"}), "invalid_field");
    EXPECT_EQ(text_of(some, {"data", "2", "status"}), "201");
    EXPECT_EQ(service_.sql("SELECT string_agg(endpoint_id::text, ' ' ORDER BY id) FROM messages"), "2 2 1 2");
    EXPECT_EQ(post(to("")).status, 422);
    EXPECT_EQ(post(R"({"recipient": "+1", "content": "x", "endpoint": 2})").status, 422);
}

TEST_F(ApiTest, AnEndpointIsTestedWithoutATrace) {
    service_.sql("INSERT INTO messaging.endpoints (name, url, headers) VALUES ('shop', '" + receiver_.url() +
                 "', '{\"x-key\": \"credential\"}')");
    EXPECT_EQ(ask("POST", "/endpoints/shop/disable").status, 200);
    const HttpReply tested = ask("POST", "/endpoints/shop/test", R"({"type": "invoice.paid", "data": {"a" : 1.0}})");
    EXPECT_EQ(tested.status, 200) << tested.body;
    EXPECT_NE(tested.body.find("\"delivered\":true"), std::string::npos) << tested.body;
    EXPECT_EQ(text_of(tested, {"data", "http_status"}), "200");
    EXPECT_EQ(text_of(tested, {"data", "error"}), "null");
    const std::string body = text_of(tested, {"data", "request", "body"});
    EXPECT_TRUE(body.starts_with(R"({"type":"invoice.paid","timestamp":"2)")) << body;
    EXPECT_TRUE(body.ends_with(R"(Z","data":{"a" : 1.0}})")) << body;
    EXPECT_EQ(text_of(tested, {"data", "request", "headers", "webhook-id"}).substr(0, 5), "test_");
    EXPECT_EQ(text_of(tested, {"data", "request", "headers", "x-key"}), "***");
    EXPECT_EQ(tested.body.find("credential"), std::string::npos);
    EXPECT_EQ(receiver_.stat("received"), 1);
    EXPECT_EQ(service_.sql("SELECT (SELECT count(*) FROM messages) + (SELECT count(*) FROM messaging._attempt)"), "0");
    EXPECT_EQ(text_of(ask("GET", "/endpoints/shop"), {"data", "health", "sent"}), "0");
    EXPECT_EQ(text_of(ask("GET", "/endpoints/shop"), {"data", "state"}), "disabled");
    service_.sql("INSERT INTO messaging.endpoints (name, url) VALUES ('gone', 'http://127.0.0.1:1/')");
    const HttpReply failed = ask("POST", "/endpoints/gone/test");
    EXPECT_EQ(failed.status, 200);
    EXPECT_NE(failed.body.find("\"delivered\":false"), std::string::npos) << failed.body;
    EXPECT_EQ(text_of(failed, {"data", "http_status"}), "null");
    EXPECT_NE(text_of(failed, {"data", "error"}), "null");
    EXPECT_EQ(service_.output().find("credential"), std::string::npos);
}

// A receiver that hangs keeps nobody else waiting.
TEST_F(ApiTest, AMessageIsTakenWhileATestWaits) {
    const Receiver hanging;
    service_.sql("INSERT INTO messaging.endpoints (name, url, timeout_seconds) VALUES ('slow', '" + hanging.url() +
                 "?hang=1', 2)");
    HttpReply tested;
    const auto began = std::chrono::steady_clock::now();
    std::thread client([&] {
        tested = call("POST", service_.url("/endpoints/slow/test"), "", {{"Authorization", std::string("Bearer ") + kToken}});
    });
    EXPECT_EQ(post(R"({"recipient": "+1", "content": "x"})").status, 201);
    EXPECT_EQ(ask("GET", "/status").status, 200);
    EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(2));
    client.join();
    EXPECT_EQ(tested.status, 200);
    EXPECT_EQ(text_of(tested, {"data", "http_status"}), "null") << tested.body;
    EXPECT_GE(std::stol(text_of(tested, {"data", "duration_ms"})), 1900);
}

TEST_F(ApiTest, MessagesAreListedByTheirEndpoint) {
    service_.sql("INSERT INTO messaging.endpoints (name, url) VALUES ('shop', 'http://shop.test/')");
    service_.sql(
        "INSERT INTO messages (recipient, content, endpoint_id) SELECT '+1', 'x', 1 + g % 2 FROM generate_series(1, 6) g");
    const auto first_ids = [&](const std::string& query) {
        const HttpReply reply = ask("GET", "/messages?status=all&limit=2&" + query);
        return text_of(reply, {"data", "0", "id"}) + " " + text_of(reply, {"data", "1", "id"});
    };
    EXPECT_EQ(first_ids("endpoint=shop"), "5 3");
    EXPECT_EQ(first_ids("endpoint=2"), "5 3");
    EXPECT_EQ(first_ids("endpoint=default&recipient=%2B1"), "6 4");
    const std::string cursor = text_of(ask("GET", "/messages?status=all&limit=2&endpoint=shop"), {"meta", "next_cursor"});
    EXPECT_EQ(first_ids("endpoint=shop&cursor=" + cursor), "1 missing");
    for (const char* other : {"", "endpoint=default&", "endpoint=2&"}) {
        EXPECT_EQ(code(ask("GET", std::string("/messages?status=all&") + other + "cursor=" + cursor)), "invalid_cursor") << other;
    }
    const HttpReply unknown = ask("GET", "/messages?endpoint=nobody");
    EXPECT_EQ(unknown.status, 400);
    EXPECT_EQ(code(unknown), "invalid_parameter");
    EXPECT_EQ(text_of(unknown, {"meta", "field"}), "endpoint");
    EXPECT_EQ(code(ask("GET", "/messages?endpoint=-7")), "invalid_parameter");
    EXPECT_EQ(first_ids("endpoint=99"), "missing missing") << "an id may be that of an endpoint that is gone";
    service_.sql("DELETE FROM messaging.endpoints WHERE name = 'shop'");
    EXPECT_EQ(first_ids("endpoint=2"), "5 3") << "whose messages are there still";
    EXPECT_EQ(code(ask("GET", "/messages?endpoint=shop")), "invalid_parameter");
}

TEST_F(ApiTest, EndpointsComeInPagesWithCursorsOfTheirList) {
    service_.sql(
        "INSERT INTO messaging.endpoints (name, url, tenant) SELECT 'e' || g, 'http://a/', 'acme' FROM generate_series(1, 5) g");
    std::string names;
    std::string cursor;
    for (int page = 0; page < 10; ++page) {
        const HttpReply reply = ask("GET", "/endpoints?tenant=acme&limit=2" + (cursor.empty() ? "" : "&cursor=" + cursor));
        for (const char* place : {"0", "1"}) {
            const std::string name = text_of(reply, {"data", place, "name"});
            if (name != "missing" && !name.starts_with("not")) names += name + " ";
        }
        cursor = text_of(reply, {"meta", "next_cursor"});
        if (cursor == "null") break;
        EXPECT_EQ(code(ask("GET", "/endpoints?limit=2&cursor=" + cursor)), "invalid_cursor") << "of another list";
        EXPECT_EQ(code(ask("GET", "/messages?cursor=" + cursor)), "invalid_cursor");
    }
    EXPECT_EQ(names, "e5 e4 e3 e2 e1 ");
}

// The peers' most asked-for behaviour.
TEST_F(ApiTest, AnEventBecomesAMessageForEachSubscriberAndIsReceivedByteForByte) {
    EXPECT_EQ(ask("POST", "/start").status, 200);
    for (const std::string name : {"books", "mail"}) {
        const std::string types = name == "books" ? R"(["invoice.*"])" : R"(["*"])";
        ASSERT_EQ(ask("POST", "/endpoints",
                      R"({"name": ")" + name + R"(", "url": ")" + receiver_.url() + R"(", "event_types": )" + types + "}")
                      .status,
                  201);
    }
    const std::string data = R"({ "b":1.50,  "a":"\u00e9\n", "b":[ ] })";
    const HttpReply created = ask("POST", "/events", R"({"type": "invoice.paid", "data": )" + data + "}");
    ASSERT_EQ(created.status, 201) << created.body;
    EXPECT_EQ(text_of(created, {"data", "0", "message_count"}), "2");
    const std::string id = text_of(created, {"data", "0", "id"});
    ASSERT_TRUE(wait_until([&] { return service_.sql("SELECT count(*) FROM messages WHERE is_sent") == "2"; }))
        << service_.sql("SELECT status, last_error FROM messaging.message_status");
    const auto received = core::JsonDocument::parse(receiver_.recent());
    ASSERT_TRUE(received.ok());
    EXPECT_NE(received->root().at(0).member("body")->text().find(R"({"type":"invoice.paid","timestamp":"2)"), std::string::npos)
        << receiver_.recent();
    EXPECT_NE(received->root().at(0).member("body")->text().find(R"(Z","data":)" + data + "}"), std::string::npos)
        << receiver_.recent();
    const HttpReply event = ask("GET", "/events/" + id);
    EXPECT_NE(event.body.find(R"("data":)" + data), std::string::npos) << event.body;
    EXPECT_EQ(text_of(event, {"data", "messages", "0", "endpoint"}), "books");
    EXPECT_EQ(text_of(event, {"data", "messages", "1", "status"}), "sent");
    EXPECT_EQ(text_of(ask("GET", "/messages?status=sent"), {"data", "0", "event_type"}), "invoice.paid");
    const HttpReply nobody = ask("POST", "/events", R"({"type": "user.created", "data": null, "tenant": "acme"})");
    EXPECT_EQ(text_of(nobody, {"data", "0", "message_count"}), "0") << "it is stored, and says so";
    EXPECT_EQ(text_of(ask("GET", "/events?tenant=acme"), {"data", "0", "type"}), "user.created");
}

TEST_F(ApiTest, AnEventIsPublishedOnceForEachKey) {
    const std::string event = R"([{"type": "a.b", "data": 1}, {"type": "..", "data": 1}])";
    const HttpReply first = ask("POST", "/events", event, {{"Idempotency-Key", "e1"}});
    EXPECT_EQ(first.status, 207);
    EXPECT_EQ(text_of(first, {"data", "0", "message_count"}), "0");
    EXPECT_EQ(text_of(first, {"data", "1", "field"}), "type");
    const HttpReply second = ask("POST", "/events", event, {{"Idempotency-Key", "e1"}});
    EXPECT_EQ(second.body, first.body);
    EXPECT_EQ(second.header("idempotent-replayed"), "true");
    EXPECT_EQ(service_.sql("SELECT count(*) FROM messaging.events"), "1");
}

TEST_F(ApiTest, WhatIsWrongWithAnEventIsSaidWithItsField) {
    const auto field_of = [this](const std::string& body) {
        const HttpReply reply = ask("POST", "/events", body);
        EXPECT_EQ(reply.status, 422) << body;
        return text_of(reply, {"meta", "field"});
    };
    EXPECT_EQ(field_of(R"({"data": 1})"), "type");
    EXPECT_EQ(field_of(R"({"type": "a"})"), "data");
    EXPECT_EQ(field_of(R"({"type": "messaging", "data": 1})"), "type");
    EXPECT_EQ(field_of(R"({"type": "a b", "data": 1})"), "type");
    EXPECT_EQ(field_of(R"({"type": ")" + std::string(129, 'a') + R"(", "data": 1})"), "type");
    EXPECT_EQ(field_of(R"({"type": "a", "data": ")" + std::string(4095, 'x') + R"("})"), "data");
    EXPECT_EQ(field_of(R"({"type": "a", "data": 1, "tenant": ""})"), "tenant");
    EXPECT_EQ(ask("POST", "/events", R"({"type": "a", "data": ")" + std::string(4094, 'x') + R"("})").status, 201);
    EXPECT_EQ(ask("POST", "/events", R"({"type": ")" + std::string(128, 'a') + R"(", "data": 1})").status, 201);
}

TEST_F(ApiTest, ADisabledEndpointsMessagesAreKeptAndSentWhenItIsEnabled) {
    EXPECT_EQ(ask("POST", "/start").status, 200);
    service_.sql("INSERT INTO messaging.endpoints (name, url) VALUES ('shop', '" + receiver_.url() + "')");
    EXPECT_EQ(ask("POST", "/endpoints/shop/disable", R"({"reason": "maintenance"})").status, 200);
    service_.sql(
        "INSERT INTO messages (recipient, content, endpoint_id) SELECT '+1', 'm' || g, 2 FROM generate_series(1, 200) g");
    service_.sql("INSERT INTO messages (recipient, content) VALUES ('+1', 'other')");
    EXPECT_TRUE(wait_until([&] { return service_.sql("SELECT count(*) FROM messages WHERE is_sent") == "1"; }));
    EXPECT_TRUE(wait_until([&] { return service_.sql("SELECT count(*) FROM messaging._hold") == "200"; }));
    EXPECT_EQ(text_of(ask("GET", "/endpoints/shop"), {"data", "health", "held", "count"}), "200");
    EXPECT_EQ(text_of(ask("GET", "/endpoints/shop"), {"data", "state_reason"}), "maintenance");
    const auto began = std::chrono::steady_clock::now();
    EXPECT_EQ(text_of(ask("POST", "/endpoints/shop/enable"), {"data", "state"}), "backlogged");
    EXPECT_TRUE(wait_until([&] { return service_.sql("SELECT count(*) FROM messages WHERE NOT is_sent") == "0"; }));
    EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(5));
    EXPECT_TRUE(wait_until([&] { return text_of(ask("GET", "/endpoints/shop"), {"data", "state"}) == "active"; }));
    EXPECT_EQ(service_.sql("SELECT max(attempts) FROM messages"), "1") << "none was used while it was disabled";
    EXPECT_TRUE(wait_until([&] { return text_of(ask("GET", "/endpoints/shop"), {"data", "health", "sent"}) == "200"; }));
    EXPECT_EQ(text_of(ask("GET", "/endpoints/shop"), {"data", "health", "success_ratio"}).substr(0, 1), "1");
    EXPECT_NE(text_of(ask("GET", "/endpoints/shop"), {"data", "health", "p95_ms"}), "null");
}

TEST_F(ApiTest, ADeletedEndpointsMessagesAreDeadLetteredWithThatReason) {
    EXPECT_EQ(ask("POST", "/start").status, 200);
    service_.sql("INSERT INTO messaging.endpoints (name, url) VALUES ('shop', '" + receiver_.url() + "')");
    EXPECT_EQ(ask("POST", "/endpoints/shop/disable").status, 200);
    service_.sql("INSERT INTO messages (recipient, content, endpoint_id) SELECT '+1', 'm' || g, 2 FROM generate_series(1, 20) g");
    EXPECT_TRUE(wait_until([&] { return service_.sql("SELECT count(*) FROM messaging._hold") == "20"; }));
    EXPECT_EQ(text_of(ask("DELETE", "/endpoints/shop"), {"data", "health", "held", "count"}), "20");
    EXPECT_TRUE(
        wait_until([&] { return service_.sql("SELECT count(*) FROM messaging._dead") == "20"; }, std::chrono::seconds(45)));
    EXPECT_EQ(service_.sql("SELECT DISTINCT reason FROM messaging._dead"), "no such endpoint: 2");
}

class ApiBesideStoppedPostgres : public ApiTest {
protected:
    ApiBesideStoppedPostgres() : ApiTest(std::make_unique<PrivatePostgres>()) {}
};

// Each had a line: 23,000 in five seconds.
TEST_F(ApiBesideStoppedPostgres, RequestsThatFailHaveAFewLinesOfTheLog) {
    const auto lines = [&](const std::string& part) {
        const std::string log = service_.output();
        int found = 0;
        for (std::size_t at = log.find(part); at != std::string::npos; at = log.find(part, at + 1)) ++found;
        return found;
    };
    postgres_->stop();
    ASSERT_TRUE(wait_until([&] { return ask("GET", "/status", "", {{"X-Request-Id", "the-first"}}).status == 503; }));
    for (int i = 0; i < 500; ++i) EXPECT_EQ(ask("GET", "/status").status, 503);
    for (int i = 0; i < 100; ++i) EXPECT_EQ(post(R"({"recipient": "+1", "content": "x"})").status, 503);
    EXPECT_TRUE(wait_until([&] { return lines("API requests: ") > 0; })) << service_.output();
    EXPECT_LE(lines("(request "), 2) << service_.output();
    EXPECT_EQ(lines("(request the-first)"), 1) << service_.output();
    postgres_->start();
    EXPECT_TRUE(wait_until([&] { return ask("GET", "/status").status == 200; }));
    EXPECT_TRUE(wait_until([&] { return lines("API requests: recovered (") == 1; })) << service_.output();
}

TEST_F(ApiTest, TellsWhatIsWrongWithABody) {
    const std::string deep(20, '[');
    const std::string huge_number = "1." + std::string(100, '1') + "e-2147483638";
    const std::vector<std::pair<std::string, std::string>> cases = {
        {"", "invalid_json"},
        {"{", "invalid_json"},
        {"{} x", "invalid_json"},
        {deep, "invalid_json"},
        {huge_number, "invalid_item"},
        {"\"text\"", "invalid_item"},
        {"null", "invalid_item"},
        {"[]", "no_items"},
        {R"({"recipient": "+1", "content": "x"})" + std::string(1, '\0'), "invalid_json"},
        {R"({"recipient": "+1", "content": "x"})" + std::string(1, '\0') + "garbage", "invalid_json"},
        {R"({"content": "x"})", "invalid_field"},
        {R"({"recipient": "+1"})", "invalid_field"},
        {R"({"recipient": 1, "content": "x"})", "invalid_field"},
        {R"({"recipient": "+1", "content": null})", "invalid_field"},
        {R"({"recipient": "", "content": "x"})", "invalid_field"},
        {R"({"recipient": "   ", "content": "x"})", "invalid_field"},
        {R"({"recipient": "\t\r\n", "content": "x"})", "invalid_field"},
        {R"({"recipient": "+1", "content": ""})", "invalid_field"},
        {R"({"recipient": "+1", "content": "a\u0000b"})", "invalid_field"},
        {R"({"recipient": "+1", "content": "x", "extra": 1})", "unknown_field"},
        {R"({"recipient": ")" + std::string(256, '1') + R"(", "content": "x"})", "invalid_field"},
        {R"({"recipient": "+1", "content": ")" + std::string(4097, 'x') + R"("})", "invalid_field"},
        {"{\"recipient\": \"+1\", \"content\": \"\xff\xfe\"}", "invalid_json"},
        {"{\"recipient\": \"+1\", \"content\": \"\xed\xa0\x80\"}", "invalid_json"},
    };
    for (const auto& [body, expected] : cases) {
        const HttpReply reply = post(body, {{"Content-Type", "application/json"}});
        EXPECT_EQ(code(reply), expected) << body;
        EXPECT_EQ(text_of(reply, {"data"}), "null");
        const bool has_field = expected == "invalid_field" || expected == "unknown_field";
        EXPECT_EQ(text_of(reply, {"meta", "field"}) != "missing", has_field) << "where one field is wrong, it is named";
        EXPECT_EQ(text_of(reply, {"status"}), std::to_string(reply.status));
    }
    EXPECT_EQ(service_.sql("SELECT count(*) FROM messages"), "0");
    const std::string exact =
        R"({"recipient": ")" + std::string(255, '1') + R"(", "content": ")" + std::string(4096, 'x') + R"("})";
    EXPECT_EQ(post(exact).status, 201) << "the limits themselves are allowed";
    EXPECT_NE(text_of(post(std::string((5u << 20) + 1, ' ')), {"message"}).find("5 MiB"), std::string::npos)
        << "the limit is said";
    EXPECT_EQ(post(exact, {{"Content-Type", "application/json; charset=utf-8"}}).status, 201);
}

TEST_F(ApiTest, TakesUpToAThousandItemsWithAResultForEach) {
    std::string items;
    for (int i = 0; i < 1000; ++i) items += std::string(i == 0 ? "" : ",") + R"({"recipient": "+1", "content": "x"})";
    const HttpReply all = post("[" + items + "]");
    EXPECT_EQ(all.status, 201);
    EXPECT_EQ(text_of(all, {"data", "999", "id"}), "1000");
    EXPECT_EQ(code(post("[" + items + R"(,{"recipient": "+1", "content": "x"}])")), "too_many_items");
    const HttpReply mixed = post(R"([{"recipient": "+1", "content": "x"}, 7, {"recipient": "+1", "content": "y"}])");
    EXPECT_EQ(mixed.status, 207);
    EXPECT_EQ(text_of(mixed, {"data", "1", "code"}), "invalid_item");
    EXPECT_EQ(text_of(mixed, {"data", "2", "id"}), "1002");
    // Review S1: a 207 said that something was done.
    const HttpReply refused = post("[7, {}]");
    EXPECT_EQ(refused.status, 422);
    EXPECT_EQ(code(refused), "nothing_accepted");
    EXPECT_EQ(text_of(refused, {"meta", "errors", "0", "code"}), "invalid_item");
    EXPECT_EQ(text_of(refused, {"meta", "errors", "1", "index"}), "1");
    EXPECT_EQ(text_of(refused, {"meta", "errors", "1", "code"}), "invalid_field");
    EXPECT_EQ(text_of(refused, {"meta", "errors", "1", "field"}), "recipient");
    const HttpReply unknown = post(R"({"recipient": "+1", "content": "x", "colour": 1})");
    EXPECT_EQ(text_of(unknown, {"meta", "field"}), "colour");
    EXPECT_EQ(text_of(post(R"({"recipient": "+1"})"), {"meta", "field"}), "content");
    EXPECT_EQ(code(post("[7]")), "nothing_accepted") << "also of one";
    EXPECT_EQ(code(post("7")), "invalid_item") << "a single message has its own code";
    EXPECT_EQ(service_.sql("SELECT count(*) FROM messages"), "1002");
}

TEST_F(ApiTest, AKeyEnqueuesOnceAndAnswersAsTheFirstTime) {
    const std::string one = R"({"recipient": "+1", "content": "x"})";
    const HttpReply first = post(one, {{"Idempotency-Key", "k1"}});
    EXPECT_EQ(first.status, 201);
    EXPECT_FALSE(first.header("idempotent-replayed"));
    const HttpReply again = post(one, {{"Idempotency-Key", "k1"}});
    EXPECT_EQ(again.status, 201);
    EXPECT_EQ(again.header("idempotent-replayed"), "true");
    EXPECT_EQ(text_of(again, {"data", "0", "id"}), text_of(first, {"data", "0", "id"}));
    EXPECT_EQ(text_of(again, {"data", "0", "created_at"}), text_of(first, {"data", "0", "created_at"}));
    EXPECT_EQ(code(post(R"({"recipient": "+1", "content": "other"})", {{"Idempotency-Key", "k1"}})), "idempotency_key_reused");
    EXPECT_EQ(code(post(one, {{"Idempotency-Key", std::string(256, 'k')}})), "invalid_idempotency_key");
    EXPECT_EQ(code(post(one, {{"Idempotency-Key", "two words"}})), "invalid_idempotency_key");
    EXPECT_EQ(post(one, {{"Idempotency-Key", std::string(255, 'k')}}).status, 201);
    EXPECT_EQ(service_.sql("SELECT count(*) FROM messages"), "2");
}

// The response is stored, so nothing that happens to the messages changes it.
TEST_F(ApiTest, ARepeatIsByteForByteTheStoredResponse) {
    const std::string good = R"({"recipient": "+1", "content": "x"})";
    const std::string bad = R"({"recipient": "+1", "\"odd\" field 👋": ""})";
    struct Case {
        std::string key;
        std::string body;
        int status;
    };
    const std::vector<Case> cases = {{"one", good, 201},
                                     {"several", "[" + good + "," + good + "]", 201},
                                     {"mixed", "[" + bad + "," + good + "," + bad + "," + good + "]", 207},
                                     {"all-refused", "[" + bad + ", 7]", 422},
                                     {"one-refused", bad, 422}};
    std::vector<HttpReply> first;
    for (const auto& [key, body, status] : cases) {
        first.push_back(post(body, {{"Idempotency-Key", key}, {"X-Request-Id", "first-" + key}}));
        EXPECT_EQ(first.back().status, status) << first.back().body;
        EXPECT_FALSE(first.back().header("idempotent-replayed"));
        EXPECT_EQ(text_of(first.back(), {"meta", "request_id"}), "first-" + key);
    }
    EXPECT_EQ(service_.sql("SELECT count(*) FROM messages"), "5");
    EXPECT_EQ(text_of(first[2], {"data", "1", "id"}), "4");
    EXPECT_EQ(text_of(first[2], {"data", "3", "id"}), "5");
    for (const char* change : {"SELECT", "UPDATE messages SET created_at = '2020-01-01'", "DELETE FROM messages"}) {
        service_.sql(change);
        for (std::size_t i = 0; i < cases.size(); ++i) {
            const HttpReply again = post(cases[i].body, {{"Idempotency-Key", cases[i].key}});
            EXPECT_EQ(again.status, first[i].status) << change;
            EXPECT_EQ(again.body, first[i].body) << change;
            EXPECT_EQ(again.header("idempotent-replayed"), "true") << cases[i].key;
            EXPECT_NE(again.header("x-request-id"), first[i].header("x-request-id")) << "each request has an id of its own";
        }
    }
    EXPECT_EQ(service_.sql("SELECT count(*) FROM messages"), "0");
}

TEST_F(ApiTest, ARequestThatIsRefusedWholeUsesTheKeyToo) {
    for (const char* refused : {"[7]", "7"}) {
        const http::Headers key{{"Idempotency-Key", refused[0] == '7' ? "one" : "array"}};
        post(refused, key);
        EXPECT_EQ(code(post(R"({"recipient": "+1", "content": "x"})", key)), "idempotency_key_reused") << refused;
    }
    // What is not even read as messages is answered anew each time.
    for (const char* unread : {"{", "[]"}) {
        const http::Headers key{{"Idempotency-Key", "unread"}};
        post(unread, key);
        EXPECT_FALSE(post(unread, key).header("idempotent-replayed")) << unread;
    }
    EXPECT_EQ(post(R"({"recipient": "+1", "content": "x"})", {{"Idempotency-Key", "unread"}}).status, 201);
}

TEST_F(ApiTest, RequestsWithOneKeyAtTheSameTimeGetOneResponse) {
    const std::string body = R"([{"recipient": "+1", "content": "x"}, 7])";
    std::vector<HttpReply> replies(8);
    std::vector<std::thread> clients;
    for (HttpReply& reply : replies)
        clients.emplace_back([&] {
            reply = call("POST", service_.url("/messages"), body,
                         {{"Authorization", std::string("Bearer ") + kToken}, {"Idempotency-Key", "k"}});
        });
    for (std::thread& client : clients) client.join();
    int replayed = 0;
    for (const HttpReply& reply : replies) {
        EXPECT_EQ(reply.status, 207);
        EXPECT_EQ(reply.body, replies.front().body);
        replayed += reply.header("idempotent-replayed") ? 1 : 0;
    }
    EXPECT_EQ(replayed, 7);
    EXPECT_EQ(service_.sql("SELECT count(*) FROM messages"), "1");
}

// A trigger of the application's that drops rows: nothing is done, and nothing is stored that says otherwise.
TEST_F(ApiTest, NothingIsStoredWhereATriggerDropsAMessage) {
    service_.sql("CREATE FUNCTION drop_row() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'");
    service_.sql(
        "CREATE TRIGGER drop_some BEFORE INSERT ON messages FOR EACH ROW WHEN (NEW.content = 'dropped') EXECUTE FUNCTION "
        "drop_row()");
    const std::string body = R"([{"recipient": "+1", "content": "dropped"}, {"recipient": "+1", "content": "x"}])";
    for (int i = 0; i < 2; ++i) EXPECT_EQ(code(post(body, {{"Idempotency-Key", "k"}})), "internal");
    EXPECT_NE(service_.output().find("fewer or more rows than were accepted"), std::string::npos);
    EXPECT_EQ(service_.sql("SELECT (SELECT count(*) FROM messages) + (SELECT count(*) FROM messaging._idempotency_key)"), "0");
    service_.sql("DROP TRIGGER drop_some ON messages");
    EXPECT_EQ(post(body, {{"Idempotency-Key", "k"}}).status, 201);
    EXPECT_EQ(service_.sql("SELECT count(*) FROM messages"), "2");
}

TEST_F(ApiTest, TellsWhatIsWrongWithAQuery) {
    const std::vector<std::pair<std::string, std::string>> cases = {{"limit=0", "invalid_parameter"},
                                                                    {"limit=251", "invalid_parameter"},
                                                                    {"limit=x", "invalid_parameter"},
                                                                    {"limit=1x", "invalid_parameter"},
                                                                    {"limit=", "invalid_parameter"},
                                                                    {"limit=99999999999999999999", "invalid_parameter"},
                                                                    {"status=gone", "invalid_parameter"},
                                                                    {"status=", "invalid_parameter"},
                                                                    {"recipient=", "invalid_parameter"},
                                                                    {"endpoint=", "invalid_parameter"},
                                                                    {"endpoint=%ff", "invalid_parameter"},
                                                                    {"endpoint=a%0ab", "invalid_parameter"},
                                                                    {"recipient=%ff", "invalid_parameter"},
                                                                    {"recipient=a%00b", "invalid_parameter"},
                                                                    {"recipient=" + std::string(256, 'r'), "invalid_parameter"},
                                                                    {"cursor=x", "invalid_cursor"},
                                                                    {"cursor=MS4x", "invalid_cursor"},
                                                                    {"status=Sent", "invalid_parameter"},
                                                                    {"since=yesterday", "invalid_parameter"},
                                                                    {"since=2026-01-02", "invalid_parameter"},
                                                                    {"until=2026-01-02T03:04:05", "invalid_parameter"},
                                                                    {"until=", "invalid_parameter"},
                                                                    {"with_content=1", "invalid_parameter"},
                                                                    {"page=2", "unknown_parameter"},
                                                                    {"cursor=", "invalid_cursor"},
                                                                    {"limit=1&limit=2", "repeated_parameter"},
                                                                    {"limit=1&limit=1", "repeated_parameter"},
                                                                    {"status=all&status=sent&limit=1", "repeated_parameter"}};
    for (const auto& [query, expected] : cases) {
        const HttpReply reply = ask("GET", "/messages?" + query);
        EXPECT_EQ(code(reply), expected) << query;
        const std::string parameter = query.substr(0, query.find('='));
        EXPECT_EQ(text_of(reply, {"meta", "field"}), parameter);
        EXPECT_NE(text_of(reply, {"message"}).find(parameter), std::string::npos)
            << "the message names the parameter: " << reply.body;
    }
    // Review by use: on every other path parameters were ignored, so that a misspelt one seemed to work.
    for (const auto& [method, path] : std::vector<std::pair<std::string, std::string>>{{"POST", "/start"},
                                                                                       {"POST", "/stop"},
                                                                                       {"GET", "/status"},
                                                                                       {"POST", "/messages"},
                                                                                       {"GET", "/messages/1"},
                                                                                       {"POST", "/messages/1/retry"}}) {
        EXPECT_EQ(code(ask(method, path + "?x=1")), "unknown_parameter") << path;
    }
    for (const char* path : {"/metrics", "/livez", "/readyz", "/", "/docs/index.html"}) {
        EXPECT_EQ(ask("GET", std::string(path) + "?x=1").status, 200) << "probes and scrapers add what they like: " << path;
    }
    for (const char* id :
         {"0", "-1", "1x", "99999999999999999999", "%31%00", "msg_1", "msg_a_0_b", "msg_a_1_%ff", "msg_a_1_%00"}) {
        EXPECT_EQ(code(ask("GET", std::string("/messages/") + id)), "invalid_id") << id;
    }
}

TEST_F(ApiTest, AKeyIsTheSameWithItsQuotesAndANewOneAfterItsDay) {
    const std::string one = R"({"recipient": "+1", "content": "x"})";
    const std::string id = text_of(post(one, {{"Idempotency-Key", "abc"}}), {"data", "0", "id"});
    const HttpReply quoted = post(one, {{"Idempotency-Key", "\"abc\""}});
    EXPECT_EQ(text_of(quoted, {"data", "0", "id"}), id);
    EXPECT_EQ(quoted.header("idempotent-replayed"), "true");
    service_.sql("UPDATE messaging._idempotency_key SET created_at = now() - interval '25 hours'");
    const HttpReply later = post(R"({"recipient": "+1", "content": "another"})", {{"Idempotency-Key", "abc"}});
    EXPECT_EQ(later.status, 201) << later.body;
    EXPECT_NE(text_of(later, {"data", "0", "id"}), id);
}

TEST_F(ApiTest, ReadsWhatClientsMeanAndRefusesWhatTheyCannotMean) {
    const std::string one = R"({"recipient": "+905551111111", "content": "x"})";
    EXPECT_EQ(post(one, {{"Content-Type", "Application/JSON ; charset=UTF-8"}}).status, 201);
    EXPECT_EQ(post(one, {{"Content-Type", "application/json;charset=iso-8859-1"}}).status, 415);
    EXPECT_EQ(post(one, {{"Content-Type", "application/json"}, {"Content-Encoding", "gzip"}}).status, 415);
    const HttpReply twice = post(R"({"recipient": "a", "recipient": "b", "content": "x"})");
    EXPECT_EQ(twice.status, 422);
    EXPECT_EQ(code(twice), "invalid_item");
    EXPECT_EQ(text_of(ask("GET", "/messages?status=all&recipient=+905551111111"), {"data", "0", "recipient"}), "+905551111111");
}

TEST_F(ApiTest, NoListDelaysAStop) {
    auto locker = connect_or_abort(service_.database_url());
    ASSERT_TRUE(locker.execute_script("BEGIN; LOCK TABLE messaging._dead"));
    std::vector<std::thread> lists;
    for (int i = 0; i < 5; ++i) lists.emplace_back([&] { ask("GET", "/messages?status=dead"); });
    const char* const waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'messaging._dead'::regclass";
    ASSERT_TRUE(wait_until([&] { return locker.execute(waiting)->bigint(0, 0) > 0; })) << "the others wait for this list";
    for (const char* path : {"/stop", "/start", "/stop"}) {
        const auto asked = std::chrono::steady_clock::now();
        EXPECT_EQ(ask("POST", path).status, 200);
        EXPECT_LT(std::chrono::steady_clock::now() - asked, std::chrono::milliseconds(500))
            << "the lists wait for two seconds each";
    }
    EXPECT_EQ(post(R"({"recipient": "+1", "content": "x"})").status, 201);
    EXPECT_EQ(call("GET", service_.url("/livez")).status, 200);
    ASSERT_TRUE(locker.execute_script("ROLLBACK"));
    for (std::thread& list : lists) list.join();
}

// Any page that somebody looks at could command a service on his machine: a POST without a body needs no leave of the browser's.
TEST(ApiOpen, PagesOfOtherSitesMayDoNothing) {
    const Receiver receiver;
    const Service service({{"WEBHOOK_URL", receiver.url()},
                           {"API_HOSTS", "messaging.example.com, other"},
                           {"DOCS_DIR", source_file("api-docs/pages")}});
    const std::string port = service.url("").substr(service.url("").rfind(':') + 1);
    const auto status = [&](const std::string& method, const std::string& path, const http::Headers& headers) {
        return call(method, service.url(path), method == "POST" ? "{}" : "", headers).status;
    };
    for (const http::Headers& foreign :
         {http::Headers{{"Origin", "http://evil.example"}}, http::Headers{{"Origin", "null"}},
          http::Headers{{"Origin", "http://127.0.0.1:1"}}, http::Headers{{"Sec-Fetch-Site", "cross-site"}},
          http::Headers{{"Sec-Fetch-Site", "\tcross-site"}}, http::Headers{{"Sec-Fetch-Site", "CROSS-SITE"}},
          http::Headers{{"Sec-Fetch-Site", "what-comes-next"}}, http::Headers{{"Host", "rebind.evil.example"}},
          http::Headers{{"Host", "rebind.evil.example:" + port}}, http::Headers{{"Host", ""}, {"Origin", "null"}},
          http::Headers{{"Host", ""}, {"Origin", "http://"}},
          http::Headers{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Mode", "no-cors"}, {"Sec-Fetch-Dest", "image"}}}) {
        for (const auto& [method, path] : std::vector<std::pair<std::string, std::string>>{{"POST", "/stop"},
                                                                                           {"POST", "/messages"},
                                                                                           {"POST", "/messages/1/retry"},
                                                                                           {"GET", "/messages"},
                                                                                           {"GET", "/status"},
                                                                                           {"GET", "/docs/index.html"},
                                                                                           {"GET", "/metrics"}}) {
            EXPECT_EQ(status(method, path, foreign), 403) << method << " " << path << " " << foreign.front().second;
        }
    }
    for (const http::Headers& ours :
         {http::Headers{}, http::Headers{{"Host", "localhost:1234"}}, http::Headers{{"Host", "[::1]"}},
          http::Headers{{"Host", "10.1.2.3:80"}}, http::Headers{{"Host", "messaging.example.com"}},
          http::Headers{{"Host", "OTHER:8080"}}, http::Headers{{"Host", "localhost:8080"}, {"Origin", "http://localhost:8080"}},
          http::Headers{{"Host", "messaging.example.com"}, {"Origin", "https://messaging.example.com"}},
          http::Headers{{"Host", "10.1.2.3:80"}, {"Origin", "https://other:8443"}},
          http::Headers{{"Sec-Fetch-Site", "\tSame-Origin\t"}}, http::Headers{{"Sec-Fetch-Site", "same-site"}},
          http::Headers{{"Sec-Fetch-Site", "same-origin"}}, http::Headers{{"Sec-Fetch-Site", "none"}}}) {
        EXPECT_EQ(status("GET", "/status", ours), 200) << (ours.empty() ? "" : ours.front().second);
    }
    EXPECT_EQ(status("GET", "/docs/index.html",
                     {{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Mode", "navigate"}, {"Sec-Fetch-Dest", "document"}}),
              200)
        << "a link that somebody follows";
    EXPECT_EQ(status("GET", "/livez", {{"Host", "node-17.cluster.internal"}}), 200) << "health is asked by whatever name";
    EXPECT_EQ(text_of_state(service), "running");
}

TEST_F(ApiTest, AnsweringTheWrongMethodNamesTheRightOnes) {
    const HttpReply refused = ask("DELETE", "/messages");
    EXPECT_EQ(refused.status, 405);
    EXPECT_EQ(refused.header("allow"), "GET, HEAD, POST");
    EXPECT_EQ(code(refused), "method_not_allowed");
    for (const char* method : {"PUT", "PATCH", "OPTIONS", "TRACE", "BREW"})
        EXPECT_EQ(ask(method, "/start").status, 405) << method;
    for (const char* method : {"PUT", "DELETE", "OPTIONS", "TRACE"})
        EXPECT_EQ(ask(method, "/messages", "{}").status, 405) << method << " with a body";
    EXPECT_EQ(ask("DELETE", "/endpoints/1", "{}").status, 400) << "where the method is served, it takes no body";
    EXPECT_EQ(code(ask("GET", "/nothing/here")), "path_not_found");
    EXPECT_EQ(code(ask("GET", "/messages/")), "path_not_found");
    const HttpReply head = ask("HEAD", "/messages");
    EXPECT_EQ(head.status, 200);
    EXPECT_EQ(head.body, "");
}

TEST_F(ApiTest, PagesKeepTheirPlaceWhileMessagesArrive) {
    service_.sql("INSERT INTO messages (recipient, content) SELECT '+1', g::text FROM generate_series(1, 7) g");
    std::string contents;
    std::string cursor;
    do {
        const HttpReply page = ask("GET", "/messages?status=all&limit=3" + (cursor.empty() ? "" : "&cursor=" + cursor));
        for (const char* index : {"0", "1", "2"}) {
            const std::string content = text_of(page, {"data", index, "content"});
            if (content != "missing") contents += content + " ";
        }
        cursor = text_of(page, {"meta", "next_cursor"});
        service_.sql("INSERT INTO messages (recipient, content) VALUES ('+2', 'late')");
    } while (cursor != "null" && contents.size() < 100);
    EXPECT_EQ(contents, "7 6 5 4 3 2 1 ");
}

// Review C3: a cursor could be read, written by hand, and used with another filter.
TEST_F(ApiTest, ACursorBelongsToItsListAndFilters) {
    service_.sql("INSERT INTO messages (recipient, content) SELECT '+1', g::text FROM generate_series(1, 7) g");
    const std::string list = "/messages?status=all&limit=2&recipient=%2B1&since=2026-01-02T03:04:05Z";
    const std::string cursor = text_of(ask("GET", list), {"meta", "next_cursor"});
    EXPECT_EQ(cursor.find_first_of(".=+/"), std::string::npos) << "it needs no escape and invites nobody to read it: " << cursor;
    EXPECT_EQ(text_of(ask("GET", list + "&cursor=" + cursor), {"data", "0", "content"}), "5");
    const HttpReply same =
        ask("GET", "/messages?cursor=" + cursor + "&since=2026-01-02T06:04:05+03:00&with_content=true&recipient=+1&status=all");
    EXPECT_EQ(text_of(same, {"data", "4", "content"}), "1") << "the same time, another limit: " << same.body;
    for (const char* other :
         {"status=all&recipient=%2B1", "status=all&recipient=%2B2&since=2026-01-02T03:04:05Z", "status=all",
          "status=pending&recipient=%2B1&since=2026-01-02T03:04:05Z", "status=all&recipient=%2B1&until=2026-01-02T03:04:05Z"}) {
        EXPECT_EQ(code(ask("GET", std::string("/messages?") + other + "&cursor=" + cursor)), "invalid_cursor") << other;
    }
}

TEST_F(ApiTest, TheMessagesOfAnEventAreAListOfTheirOwn) {
    service_.sql("SELECT messaging.disable('default')");
    service_.sql(
        "INSERT INTO messaging.endpoints (name, url, event_types) SELECT 'e' || g, 'http://127.0.0.1:1/', '{a}' FROM "
        "generate_series(1, 3) g");
    service_.sql("SELECT messaging.disable(name) FROM messaging.endpoints");
    ask("POST", "/events", R"([{"type": "a", "data": 1}, {"type": "a", "data": 2}])");
    const std::string list = "/messages?status=all&limit=2&event=2";
    const HttpReply first = ask("GET", list);
    EXPECT_EQ(text_of(first, {"data", "0", "event_id"}), "2");
    EXPECT_EQ(text_of(first, {"data", "0", "id"}) + " " + text_of(first, {"data", "1", "id"}), "6 5");
    const std::string cursor = text_of(first, {"meta", "next_cursor"});
    const HttpReply second = ask("GET", list + "&cursor=" + cursor);
    EXPECT_EQ(text_of(second, {"data", "0", "id"}), "4");
    EXPECT_EQ(text_of(second, {"meta", "next_cursor"}), "null");
    for (const char* other : {"status=all&event=1", "status=all", "status=held&event=2"}) {
        EXPECT_EQ(code(ask("GET", std::string("/messages?") + other + "&cursor=" + cursor)), "invalid_cursor") << other;
    }
    EXPECT_EQ(text_of(ask("GET", "/messages?status=all&event=2&endpoint=e1"), {"data", "0", "id"}), "4");
    EXPECT_EQ(ask("GET", "/messages?status=all&event=99").status, 200) << "an event that is gone";
    for (const char* wrong : {"x", "0", "-1", "", "9223372036854775808", "2&recipient=%2B1"}) {
        EXPECT_EQ(code(ask("GET", std::string("/messages?event=") + wrong)), "invalid_parameter") << wrong;
    }
}

TEST_F(ApiTest, ACursorOfEventsBelongsToItsFilters) {
    service_.sql("INSERT INTO messaging.events (type, data) SELECT 'a', '1' FROM generate_series(1, 5)");
    const std::string list = "/events?limit=2&type=a&since=2026-01-02T03:04:05Z";
    const std::string cursor = text_of(ask("GET", list), {"meta", "next_cursor"});
    EXPECT_EQ(text_of(ask("GET", list + "&cursor=" + cursor), {"data", "0", "id"}), "3");
    EXPECT_EQ(ask("GET", "/events?type=a&since=2026-01-02T06:04:05%2B03:00&cursor=" + cursor).status, 200) << "the same time";
    for (const char* other : {"type=a", "type=a&until=2026-01-02T03:04:05Z", "since=2026-01-02T03:04:05Z",
                              "type=a&since=2026-01-02T03:04:06Z", "type=a&since=2026-01-02T03:04:05Z&tenant=x"}) {
        EXPECT_EQ(code(ask("GET", std::string("/events?") + other + "&cursor=" + cursor)), "invalid_cursor") << other;
    }
}

TEST_F(ApiTest, TheListsHaveTheOrdersAndTheStatesThatTheDocumentSays) {
    std::vector<std::string> filters;
    for (const service::ListStatus status : service::kListStatuses) filters.emplace_back(word_of(status));
    EXPECT_EQ(contract().words("/paths/~1messages/get/parameters/0/schema/enum"), filters);
    std::vector<std::string> states;
    for (const core::MessageStatus status : core::kMessageStatuses) states.emplace_back(word_of(status));
    EXPECT_EQ(contract().words("/components/schemas/MessageStatus/enum"), states);
    // Two of each state, and the one with the higher id first but for scheduled.
    service_.sql("INSERT INTO messages (recipient, content) SELECT '+1', 'x' FROM generate_series(1, 12) g");
    service_.sql("DELETE FROM messaging._queue WHERE id > 2");
    service_.sql(
        "INSERT INTO messaging._claim SELECT 1, 1, array_agg(id), array_agg(attempts), array_agg(generation)"
        " FROM messages WHERE id IN (3, 4)");
    service_.sql("INSERT INTO messaging._schedule VALUES (5, now() + interval '1 h'), (6, now() + interval '2 h')");
    service_.sql("UPDATE messaging._endpoint_state SET state = 'disabled'");
    service_.sql("INSERT INTO messaging._hold (id, endpoint_id) VALUES (7, 1), (8, 1)");
    service_.sql("UPDATE messages SET is_sent = true WHERE id IN (9, 10)");
    service_.sql("INSERT INTO messaging._dead (id, reason) VALUES (11, 'x'), (12, 'x')");
    const auto ids = [&](const std::string& query) {
        const HttpReply reply = ask("GET", "/messages?" + query);
        std::string text;
        for (int i = 0; text_of(reply, {"data", std::to_string(i), "id"}) != "missing"; ++i) {
            text += (i == 0 ? "" : " ") + text_of(reply, {"data", std::to_string(i), "id"});
            const std::string status = text_of(reply, {"data", std::to_string(i), "status"});
            EXPECT_NE(("status=all status=" + status).find(query.substr(0, query.find('&'))), std::string::npos) << query;
        }
        return text;
    };
    const std::vector<std::pair<std::string, std::string>> expected = {{"pending", "2 1"},
                                                                       {"sending", "4 3"},
                                                                       {"scheduled", "5 6"},
                                                                       {"held", "8 7"},
                                                                       {"sent", "10 9"},
                                                                       {"dead", "12 11"},
                                                                       {"all", "12 11 10 9 8 7 6 5 4 3 2 1"}};
    for (const auto& [status, newest_first] : expected) {
        EXPECT_EQ(ids("status=" + status), newest_first);
        EXPECT_EQ(ids("status=" + status + "&recipient=+1"), newest_first) << "a filter changes nothing";
        EXPECT_EQ(ids("status=" + status + "&since=2026-01-01T00:00:00Z&until=2999-01-01T00:00:00Z"), newest_first);
        EXPECT_EQ(ids("status=" + status + "&until=2026-01-01T00:00:00Z"), "");
    }
    EXPECT_EQ(text_of(ask("GET", "/status"), {"data", "counts", "held", "count"}), "2");
}

// Review I1: what a receiver quotes can be pasted.
TEST_F(ApiTest, AMessageIsFoundByItsIdAndByItsWebhookId) {
    post(R"({"recipient": "+1", "content": "x"})");
    const std::string id = text_of(ask("GET", "/messages/1"), {"data", "webhook_id"});
    EXPECT_EQ(id, service_.sql("SELECT messaging.webhook_id(1)"));
    EXPECT_EQ(text_of(ask("GET", "/messages/" + id), {"data", "id"}), "1");
    EXPECT_EQ(code(ask("POST", "/messages/" + id + "/retry")), "already_pending");
    EXPECT_EQ(code(ask("GET", "/messages/msg_other_1_" + id.substr(id.size() - 6))), "message_not_found");
    EXPECT_EQ(text_of(ask("GET", "/messages/1"), {"data", "endpoint_id"}), "1");
    service_.sql("DELETE FROM messaging.endpoints");
    EXPECT_EQ(text_of(ask("GET", "/messages/1"), {"data", "endpoint"}), "null");
    EXPECT_EQ(text_of(ask("GET", "/messages/1"), {"data", "endpoint_id"}), "1");
}

TEST_F(ApiTest, ACancelledMessageIsDeadAndIsSentWhenItIsRetried) {
    post(R"([{"recipient": "+1", "content": "a"}, {"recipient": "+1", "content": "b"}])");
    const HttpReply cancelled = ask("POST", "/messages/1/cancel");
    EXPECT_EQ(cancelled.status, 200) << cancelled.body;
    EXPECT_EQ(text_of(cancelled, {"data", "status"}), "dead");
    EXPECT_EQ(text_of(cancelled, {"data", "last_error"}), "cancelled");
    EXPECT_NE(text_of(cancelled, {"data", "dead_at"}), "null");
    const std::string id = text_of(ask("GET", "/messages/2"), {"data", "webhook_id"});
    EXPECT_EQ(
        text_of(ask("POST", "/messages/" + id + "/cancel", R"({"reason": "the customer has left"})"), {"data", "last_error"}),
        "the customer has left");
    EXPECT_EQ(text_of(ask("POST", "/messages/2/cancel"), {"message"}), "the message is already dead; nothing was changed");
    EXPECT_EQ(ask("POST", "/start").status, 200);
    EXPECT_EQ(ask("POST", "/messages/2/retry").status, 202);
    EXPECT_TRUE(wait_until([&] { return service_.sql("SELECT is_sent FROM messages WHERE id = 2") == "t"; }));
    EXPECT_EQ(receiver_.stat("received"), 1) << "what was cancelled is not sent";
    EXPECT_EQ(text_of(ask("POST", "/messages/2/cancel"), {"message"}), "the message is already sent; nothing was changed");
}

TEST_F(ApiTest, AListCutsLongContentsAndSaysSo) {
    post(R"({"recipient": "+1", "content": ")" + std::string(1025, 'x') + R"("})");
    const auto length = [&](const std::string& path, const std::vector<std::string>& at) {
        return text_of(ask("GET", path), at).size();
    };
    EXPECT_EQ(length("/messages?status=all", {"data", "0", "content"}), 1024U);
    EXPECT_NE(ask("GET", "/messages?status=all").body.find("\"content_truncated\":true"), std::string::npos);
    EXPECT_EQ(length("/messages?status=all&with_content=true", {"data", "0", "content"}), 1025U);
    EXPECT_EQ(length("/messages/1", {"data", "content"}), 1025U);
    EXPECT_NE(ask("GET", "/messages/1").body.find("\"content_truncated\":false"), std::string::npos);
}

TEST_F(ApiTest, TheTokenIsReadAsHttpWritesIt) {
    const auto status = [&](const std::string& value) {
        const std::string answer =
            raw_exchange(std::stoi(service_.url("").substr(service_.url("").rfind(':') + 1)),
                         "GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization:" + value + "\r\n\r\n");
        return answer.substr(0, 12);
    };
    const std::string token = kToken;
    for (const std::string& good :
         {" Bearer " + token, "\tBearer " + token, "Bearer " + token + " \t", " bearer " + token, " BEARER   " + token}) {
        EXPECT_EQ(status(good), "HTTP/1.1 200") << good;
    }
    for (const std::string& bad : {" " + token, " Bearer" + token, " Bearer " + token + "x", std::string(" Bearer"),
                                   std::string(" Bearer "), " Basic " + token, " Bearer Bearer " + token, std::string()}) {
        EXPECT_EQ(status(bad), "HTTP/1.1 401") << bad;
    }
}

TEST_F(ApiTest, ARequestHasAnIdInAnswerAndHeader) {
    const HttpReply own = ask("GET", "/nothing", "", {{"X-Request-Id", "mine-1.2_3"}});
    EXPECT_EQ(own.header("x-request-id"), "mine-1.2_3");
    EXPECT_EQ(text_of(own, {"meta", "request_id"}), "mine-1.2_3");
    for (const std::string& bad : {std::string("has space"), std::string(65, 'x'), std::string("<script>")}) {
        const HttpReply fresh = ask("GET", "/status", "", {{"X-Request-Id", bad}});
        EXPECT_EQ(fresh.header("x-request-id")->size(), 16u) << bad;
        EXPECT_EQ(text_of(fresh, {"meta", "request_id"}), *fresh.header("x-request-id"));
    }
}

TEST_F(ApiTest, WhatIsNoHttpIsRefusedInTheSameShape) {
    const int port = std::stoi(service_.url("").substr(service_.url("").rfind(':') + 1));
    for (const char* request : {"NONSENSE\r\n\r\n", "GET /status HTTP/1.1\r\nno colon\r\n\r\n",
                                "POST /messages HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999999\r\n\r\n"}) {
        const std::string answer = raw_exchange(port, request);
        EXPECT_EQ(answer.find("HTML"), std::string::npos) << answer;
        EXPECT_NE(answer.find(R"("data":null,"meta":{"code":")"), std::string::npos) << answer;
        EXPECT_NE(answer.find("X-Request-Id: "), std::string::npos) << answer;
    }
}

TEST_F(ApiTest, DocumentsAreServedCompressedToThoseWhoTakeIt) {
    EXPECT_EQ(ask("GET", "/docs/").header("location"), "/docs/index.html");
    const HttpReply page = ask("GET", "/docs/start.js", "", {{"Accept-Encoding", "identity"}});
    EXPECT_EQ(page.header("content-type"), "text/javascript; charset=utf-8");
    EXPECT_NE(page.header("content-security-policy")->find("default-src 'none'"), std::string::npos);
    EXPECT_EQ(page.body, read_text_file(source_file("api-docs/pages/start.js")));
    for (const char* path : {"/docs/..", "/docs/%2e%2e%2fopenapi.json", "/docs/../openapi.json", "/docs/..%2f..%2f.env"}) {
        EXPECT_EQ(ask("GET", path).status, 404) << path;
    }
}

// A client that is made from the document sends nothing that the service then refuses to read. Every next_cursor, id and
// webhook_id of an answer is held against the same schemas, so they are not too narrow.
TEST_F(ApiTest, TheDocumentAllowsNoValueThatTheServiceCannotRead) {
    service_.sql("INSERT INTO messages (recipient, content) VALUES ('a', 'b'), ('a', 'c')");
    EXPECT_TRUE(contract().allows("Cursor", text_of(ask("GET", "/messages?status=all&limit=1"), {"meta", "next_cursor"})));
    for (const std::string id : {"0", "00", "-1", "1x", "99999999999999999999", "msg_1", "msg_a_0_b", "msg__1", "msg_a_1x_0"}) {
        EXPECT_FALSE(contract().allows("Id", id) || contract().allows("WebhookId", id)) << id;
        EXPECT_EQ(code(ask("GET", "/messages/" + id)), "invalid_id") << id;
    }
    for (const char* cursor : {"", "x", "MS4x", "MS4wMDAwMDAwMDAwMDAwMDAwLjAuMA=="}) {
        EXPECT_FALSE(contract().allows("Cursor", cursor)) << cursor;
        EXPECT_EQ(code(ask("GET", std::string("/messages?cursor=") + cursor)), "invalid_cursor") << cursor;
    }
    for (const std::string type : {"", ".", "a.", ".a", "a..b", "a%20b", "*", "a.*"}) {
        EXPECT_FALSE(contract().allows("EventType", type)) << type;
        EXPECT_EQ(code(ask("GET", "/events?type=" + type)), "invalid_parameter") << type;
    }
    for (const std::string name : {"", " ", " a", "a ", "12", ".", "..", "a/b", "a:b"}) {
        EXPECT_FALSE(contract().allows("EndpointName", name)) << name;
        const HttpReply reply = ask("POST", "/endpoints", R"({"url":"http://127.0.0.1/","name":")" + name + "\"}");
        EXPECT_EQ(text_of(reply, {"meta", "field"}), "name") << name << reply.body;
    }
    for (const char* key : {"a b", "\xc3\xa9"}) {
        EXPECT_FALSE(contract().allows("IdempotencyKey", key)) << key;
        const HttpReply reply = ask("POST", "/messages", R"({"recipient":"a","content":"b"})", {{"Idempotency-Key", key}});
        EXPECT_EQ(code(reply), "invalid_idempotency_key") << key << reply.body;
    }
    for (const char* name : {"shop", "a b", "1a", "...", "x-_.9"}) EXPECT_TRUE(contract().allows("EndpointName", name)) << name;
}

TEST(ApiDocument, HasTheVersionOfTheProgram) {
    ProcessOptions options;
    options.arguments = {messaging_binary(), "--version"};
    EXPECT_EQ(run_command(options).output, contract().version() + "\n");
}

}  // namespace
}  // namespace messaging::test
