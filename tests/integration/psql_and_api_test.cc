// Each call of the HTTP API beside what psql has for it (docs/guide.md, views and functions): the same rows are shown, and the
// same is done. What psql alone has is in psql_views_test.cc.
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "repository/control_store.h"
#include "repository/endpoint_figures_store.h"
#include "repository/endpoint_registry.h"
#include "repository/event_store.h"
#include "repository/instance_store.h"
#include "repository/message_store.h"
#include "repository/replay_store.h"
#include "support/one_engine.h"
#include "support/private_postgres.h"
#include "support/stores.h"

namespace messaging::repository {
namespace {

using core::OutcomeKind;
using service::EndpointChanges;
using service::EndpointRef;
using service::EndpointView;
using service::ListStatus;
using service::ReplayView;
using test::OneEngine;
using test::Stores;

// As the API writes times.
std::string time(const std::string& column) {
    return "to_char(" + column + R"( AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))";
}

// A row as Stores::sql() shows one.
template <typename... Columns>
std::string row(const Columns&... columns) {
    std::ostringstream text;
    auto add = [&text, first = true](const auto& column) mutable {
        if (!first) text << '|';
        first = false;
        if constexpr (requires { column.has_value(); }) {
            if (column) text << *column;
        } else {
            text << column;
        }
    };
    (add(columns), ...);
    return text.str();
}

class PsqlAndApi : public testing::Test {
protected:
    PsqlAndApi() {
        db_.sql(
            "INSERT INTO messaging.endpoints (name, url, event_types) VALUES ('shop', 'http://shop.test/', '{a,b}'),"
            " ('books', 'http://books.test/', '{a}')");
    }
    template <typename T, typename Call>
    T ask(const Call& call) {
        return db_.value<T>(call);
    }
    service::MessageDetail message(core::MessageId id) {
        return ask<service::MessageDetail>([&](auto done) { messages_.get({id}, std::move(done)); });
    }
    service::EndpointView endpoint(core::EndpointId id) {
        return ask<EndpointView>([&](auto done) { endpoints_.get({id, {}}, std::move(done)); });
    }
    std::string ids_of(const service::ListQuery& query) {
        std::string ids;
        for (const auto& each : ask<service::ListPage>([&](auto done) { messages_.list(query, std::move(done)); }).messages) {
            ids += (ids.empty() ? "" : " ") + std::to_string(each.id);
        }
        return ids;
    }
    service::StatusView status() {
        return ask<service::StatusView>([&](auto done) { control_.read_status(std::move(done)); });
    }

    Stores db_{test::fresh_database()};
    OneEngine engine_{db_};
    PgMessageStore messages_{db_.open_session(api_session_settings())};
    PgEventStore events_{db_.open_session(api_session_settings()), db_.open_session(api_session_settings())};
    PgEndpointRegistry endpoints_{db_.open_session(api_session_settings()), db_.open_session(api_session_settings())};
    PgReplayStore replays_{db_.open_session(api_session_settings()), db_.open_session(api_session_settings())};
    PgControlStore control_{db_.open_session(api_session_settings())};
};

TEST_F(PsqlAndApi, AMessageIsTheSameHoweverItIsInserted) {
    ask<std::vector<service::CreatedMessage>>([&](auto done) {
        messages_.enqueue({{"+1", "x", "shop", core::EndpointId{2}}}, std::move(done));
    });
    db_.sql("SELECT messaging.send('+1', 'x', 'shop')");
    db_.sql("INSERT INTO messages (recipient, content, endpoint_id) VALUES ('+1', 'x', 2)");
    EXPECT_EQ(
        db_.sql("SELECT count(*), count(DISTINCT (status, endpoint, recipient, attempts, sent_at, last_error, event_id)::text)"
                " FROM messaging.message_status"),
        "3|1");
    EXPECT_EQ(db_.sql("SELECT count(DISTINCT (content, is_sent, abandoned, generation % 128)) FROM messages"), "1");
}

TEST_F(PsqlAndApi, AnEventIsTheSameHoweverItIsPublished) {
    const auto created = ask<std::vector<service::CreatedEvent>>([&](auto done) {
        events_.publish({{"a", R"({"b": 1.50})", std::nullopt}}, std::move(done));
    });
    db_.sql(R"(SELECT messaging.publish('a', '{"b": 1.50}'))");
    db_.sql(R"(INSERT INTO messaging.events (type, data) VALUES ('a', '{"b": 1.50}'))");
    EXPECT_EQ(db_.sql("SELECT count(*), count(DISTINCT (type, data::text, tenant)) FROM messaging.events"), "3|1");
    for (const char* event : {"1", "2", "3"}) {
        EXPECT_EQ(db_.sql(std::string("SELECT endpoint, status FROM messaging.message_status WHERE event_id = ") + event +
                          " ORDER BY id"),
                  "shop|pending books|pending");
    }
    EXPECT_EQ(created.at(0).message_count, 2);
}

TEST_F(PsqlAndApi, EventsAndTheirMessagesAreListedAlike) {
    db_.sql("INSERT INTO messaging.events (type, data, tenant) VALUES ('a', '1', NULL), ('b', '2', NULL), ('c', '3', 'acme')");
    engine_.record({engine_.claim(1)}, OutcomeKind::kDelivered);
    std::string listed;
    for (const auto& event : ask<service::EventPage>([&](auto done) { events_.list({}, std::move(done)); }).events) {
        listed += (listed.empty() ? "" : " ") + row(event.id, event.type, event.tenant, event.created_at, event.message_count);
    }
    EXPECT_EQ(listed,
              db_.sql("SELECT id, type, tenant, " + time("created_at") +
                      ", (SELECT count(*) FROM messaging.message_status m WHERE m.event_id = e.id) FROM messaging.events e"
                      " ORDER BY id DESC"));
    for (const core::EventId id : {1, 2, 3}) {
        const auto detail = ask<service::EventDetail>([&](auto done) { events_.get(id, std::move(done)); });
        const std::string of_event = "WHERE event_id = " + std::to_string(id);
        std::string shown;
        for (const auto& each : detail.messages) {
            shown += (shown.empty() ? "" : " ") + row(each.id, core::word_of(each.status), each.endpoint, each.event_type);
        }
        EXPECT_EQ(shown,
                  db_.sql("SELECT id, status, endpoint, event_type FROM messaging.message_status " + of_event + " ORDER BY id"));
        EXPECT_EQ(detail.data, db_.sql("SELECT data FROM messaging.events WHERE id = " + std::to_string(id)));
        service::ListQuery query{ListStatus::kAll};
        query.event_id = id;
        EXPECT_EQ(ids_of(query), db_.sql("SELECT id FROM messaging.message_status " + of_event + " ORDER BY id DESC"));
    }
}

TEST_F(PsqlAndApi, TheDeadLettersOfAnEndpointAreListedAlike) {
    db_.sql("INSERT INTO messages (recipient, content, endpoint_id) SELECT '+1', 'x', 1 + g % 2 FROM generate_series(1, 6) g");
    engine_.record(engine_.claim(), OutcomeKind::kDead);
    for (const auto& [name, id] : {std::pair("default", 1), std::pair("shop", 2)}) {
        service::ListQuery query{ListStatus::kDead};
        query.endpoint_id = id;
        EXPECT_EQ(ids_of(query),
                  db_.sql(std::string("SELECT id FROM messaging.dead_letters WHERE endpoint = '") + name + "' ORDER BY id DESC"));
    }
    for (const core::MessageId id : {1, 2}) {
        const auto& [view, attempts] = message(id);
        EXPECT_EQ(row(view.webhook_id, view.endpoint_id, view.recipient, view.content, view.attempts, view.last_error,
                      view.created_at, view.dead_at),
                  db_.sql("SELECT webhook_id, endpoint_id, recipient, content, attempts, reason, " + time("created_at") + ", " +
                          time("dead_at") + " FROM messaging.dead_letters WHERE id = " + std::to_string(id)));
    }
}

TEST_F(PsqlAndApi, AttemptsAndTheTimelineTellWhatTheApiTellsOfAMessage) {
    db_.sql("INSERT INTO messages (recipient, content) VALUES ('+1', 'x')");
    engine_.record(engine_.claim(), OutcomeKind::kRetry);
    engine_.record(engine_.claim_due(), OutcomeKind::kDead);
    const auto& [view, attempts] = message(1);
    ASSERT_EQ(attempts.size(), 2U);
    std::string of_attempts;
    std::string timeline = row(view.created_at, "inserted");
    for (const auto& each : attempts) {
        of_attempts += (of_attempts.empty() ? "" : " ") +
                       row(each.attempt, each.attempted_at, each.http_status, each.duration_ms, each.error);
        timeline += ", " + row(each.attempted_at, "attempt " + std::to_string(each.attempt) + ": " + each.error + " after " +
                                                      std::to_string(each.duration_ms) + " ms");
    }
    timeline += ", " + row(view.dead_at, "dead: " + *view.last_error);
    EXPECT_EQ(of_attempts,
              db_.sql("SELECT attempt, " + time("recorded_at") +
                      ", http_status, duration_ms, error FROM messaging.attempts WHERE message_id = 1 ORDER BY attempt"));
    EXPECT_EQ(timeline, db_.sql("SELECT string_agg(" + time("at") + " || '|' || what, ', ') FROM messaging.timeline(1)"));
}

// Two messages in each status: the API acts on the odd one, and psql on the even one.
TEST_F(PsqlAndApi, RetryAndCancelDoTheSame) {
    const auto insert_two = [&](int endpoint) {
        db_.sql("INSERT INTO messages (recipient, content, endpoint_id) SELECT '+1', 'x', " + std::to_string(endpoint) +
                " FROM generate_series(1, 2)");
        return endpoint == 3 ? std::vector<core::Delivery>() : engine_.claim();
    };
    const auto make_all = [&] {
        for (const OutcomeKind kind : {OutcomeKind::kDelivered, OutcomeKind::kDead, OutcomeKind::kRetry}) {
            engine_.record(insert_two(2), kind);
        }
        db_.sql("UPDATE messaging._schedule SET due_at = now() + interval '1 hour'");
        insert_two(2);  // being sent
        db_.sql("SELECT messaging.disable('books')");
        insert_two(3);
        EXPECT_TRUE(engine_.claim().empty());  // held
        insert_two(3);                         // pending
    };
    // What the API says: nothing where it has done it.
    const auto said = [&](const auto& start) {
        const auto answered = db_.answer<service::MessageDetail>(start);
        return answered ? "" : answered.error().message;
    };
    using Results = std::vector<std::string>;
    Results retried;
    Results cancelled;
    make_all();
    for (core::MessageId odd = 1; odd <= 12; odd += 2) {
        const bool done = said([&](auto then) { messages_.retry({odd}, std::move(then)); }).empty();
        const std::string by_psql = db_.sql("SELECT result FROM messaging.retry(" + std::to_string(odd + 1) + ")");
        EXPECT_EQ(done, by_psql == "queued") << odd << " " << by_psql;
        retried.push_back(by_psql);
    }
    make_all();
    for (core::MessageId odd = 13; odd <= 24; odd += 2) {
        const std::string refusal = said([&](auto then) { messages_.cancel({odd}, "no more", std::move(then)); });
        const std::string by_psql =
            db_.sql("SELECT result FROM messaging.cancel('{" + std::to_string(odd + 1) + "}', 'no more')");
        EXPECT_EQ(refusal, by_psql == "cancelled" ? "" : "the message is " + by_psql + "; nothing was changed");
        cancelled.push_back(by_psql);
    }
    const std::string all =
        "SELECT string_agg(status || coalesce(' ' || last_error, '') || attempts, ', ' ORDER BY id)"
        " FROM messaging.message_status WHERE id % 2 = ";
    EXPECT_EQ(db_.sql(all + "1"), db_.sql(all + "0"));
    EXPECT_EQ(retried, (Results{"queued", "queued", "queued", "being sent", "already waiting", "already waiting"}));
    EXPECT_EQ(cancelled, (Results{"already sent", "already dead", "cancelled", "being sent", "cancelled", "cancelled"}));
    EXPECT_EQ(db_.sql("SELECT id FROM messaging.misplaced()"), "");
}

TEST_F(PsqlAndApi, AnEndpointIsTheSameHoweverItIsMade) {
    EndpointChanges changes;
    changes.name = "by api";
    changes.url = "http://a.test/";
    changes.description = "d";
    changes.tenant = "t";
    changes.headers = R"({"x-a": "b"})";
    changes.event_types = std::vector<std::string>{"a.*", "b"};
    changes.max_in_flight = 5;
    const auto made = ask<service::CreatedEndpoint>([&](auto done) { endpoints_.create(changes, std::move(done)); });
    db_.sql(R"(INSERT INTO messaging.endpoints (name, url, description, tenant, headers, event_types, max_in_flight)
               VALUES ('by psql', 'http://a.test/', 'd', 't', '{"x-a": "b"}', '{a.*,b}', 5))");
    const EndpointRef by_api{made.id, {}};
    const auto expect_same = [&](const char* after) {
        for (const char* view : {"messaging.endpoints", "messaging.endpoint_health"}) {
            const auto shown = [&](const char* name) {
                return db_.sql("SELECT to_jsonb(e) - '{id,name,created_at,updated_at,state_since}'::text[] FROM " +
                               std::string(view) + " e WHERE name = '" + name + "'");
            };
            EXPECT_EQ(shown("by api"), shown("by psql")) << view << " after " << after;
        }
    };
    expect_same("creating");
    EndpointChanges change;
    change.timeout_seconds = 3;
    change.max_attempts = 4;
    change.rate_limit = 100;
    change.description = std::optional<std::string>();
    ask<EndpointView>([&](auto done) { endpoints_.change(by_api, change, std::move(done)); });
    db_.sql(
        "UPDATE messaging.endpoints SET timeout_seconds = 3, max_attempts = 4, rate_limit = 100, description = NULL"
        " WHERE name = 'by psql'");
    expect_same("changing");
    ask<EndpointView>([&](auto done) { endpoints_.disable(by_api, "a pause", std::move(done)); });
    EXPECT_EQ(db_.sql("SELECT state, state_reason FROM messaging.disable('by psql', 'a pause')"), "disabled|a pause");
    expect_same("disabling");
    ask<EndpointView>([&](auto done) { endpoints_.enable(by_api, std::move(done)); });
    db_.sql("SELECT messaging.enable('by psql')");
    expect_same("enabling");
    ask<EndpointView>([&](auto done) { endpoints_.remove(by_api, std::move(done)); });
    db_.sql("DELETE FROM messaging.endpoints WHERE name = 'by psql'");
    EXPECT_EQ(db_.sql("SELECT string_agg(name, ' ' ORDER BY id) FROM messaging.endpoint_health"), "default shop books");
    EXPECT_EQ(db_.sql("SELECT count(*) FROM messaging._endpoint_state"), "3");
}

TEST_F(PsqlAndApi, EndpointsTheirHealthAndTheirMinutesAreShownAlike) {
    PgEndpointFiguresStore figures(db_.open_session(listen_session_settings()));
    engine::EndpointFigures seen{.endpoint = 2, .sent = 6, .failed = 2, .durations = {3, 4, 0, 1}, .last_error = "HTTP 503"};
    ask<core::Unit>([&](auto done) { figures.add_figures({seen}, std::move(done)); });
    db_.sql("INSERT INTO messages (recipient, content, endpoint_id) VALUES ('+1', 'x', 2), ('+1', 'x', 3)");
    EXPECT_EQ(engine_.claim(1).size(), 1U);
    db_.sql("SELECT messaging.disable('books', 'a pause')");
    EXPECT_TRUE(engine_.claim().empty());
    const auto page = ask<service::EndpointPage>([&](auto done) { endpoints_.list({}, std::move(done)); });
    ASSERT_EQ(page.endpoints.size(), 3U);
    for (const EndpointView& view : page.endpoints) {
        const std::string of_it = "WHERE id = " + std::to_string(view.id);
        EXPECT_EQ(row(view.name, view.url, view.description, view.tenant, view.headers, view.signing, view.max_in_flight,
                      view.timeout_seconds, view.max_attempts, view.rate_limit, view.created_at, view.updated_at),
                  db_.sql("SELECT name, url, description, tenant, headers, signing, max_in_flight, timeout_seconds, max_attempts,"
                          " rate_limit, " +
                          time("created_at") + ", " + time("updated_at") + " FROM messaging.endpoints " + of_it));
        const service::EndpointHealth& health = view.health;
        EXPECT_EQ(row(core::word_of(view.state), view.state_reason, view.state_since, health.held.count, health.oldest_held_at,
                      health.sending, health.sent, health.failed, health.success_ratio, health.p50_ms, health.p95_ms,
                      health.last_error),
                  db_.sql("SELECT state, state_reason, " + time("state_since") + ", held, " + time("oldest_held_at") +
                          ", sending, sent, failed, success_ratio, p50_ms, round(p95_ms::numeric, 3)::float8, last_error FROM "
                          "messaging.endpoint_health " +
                          of_it));
    }
    EXPECT_EQ(
        db_.sql("SELECT name, held, sending, sent, failed, success_ratio, last_error FROM messaging.endpoint_health WHERE id > 1"
                " ORDER BY id"),
        "shop|0|1|6|2|0.75|HTTP 503 books|1|0|0|0||");
    // In one minute: the figures of 15 minutes are those of the one that has any.
    EXPECT_EQ(db_.sql("SELECT endpoint_id, endpoint, sent, failed, p50_ms, p95_ms, last_error FROM messaging.throughput"),
              db_.sql("SELECT id, name, sent, failed, p50_ms, p95_ms, last_error FROM messaging.endpoint_health WHERE sent > 0"));
    db_.sql("DELETE FROM messaging.endpoints WHERE name = 'shop'");
    EXPECT_EQ(db_.sql("SELECT endpoint_id, endpoint, sent FROM messaging.throughput"), "2||6");
}

TEST_F(PsqlAndApi, AReplayIsTheSameHoweverItIsStarted) {
    db_.sql("INSERT INTO messages (recipient, content, endpoint_id) SELECT '+1', 'x', 2 FROM generate_series(1, 4)");
    engine_.record(engine_.claim(), OutcomeKind::kDead);
    service::ReplayFilter filter{.status = "both", .endpoint = "shop", .event_type = "a.*", .tenant = "t"};
    filter.since = core::parse_rfc3339("2026-01-02T00:00:00Z");
    filter.until = core::parse_rfc3339("2999-01-02T00:00:00Z");
    const auto by_api = ask<ReplayView>([&](auto done) { replays_.create(filter, "api", std::move(done)); });
    const std::string by_psql = db_.sql(
        "SELECT messaging.replay(status => 'both', endpoint => 'shop', event_type => 'a.*', tenant => 't',"
        " since => '2026-01-02T00:00:00Z', until => '2999-01-02T00:00:00Z')");
    EXPECT_EQ(
        db_.sql("SELECT count(*), count(DISTINCT to_jsonb(r) - '{id,created_by,created_at}'::text[]) FROM messaging.replays r"),
        "2|1");
    EXPECT_EQ(db_.sql("SELECT count(DISTINCT to_jsonb(r) - '{id,created_by,created_at}'::text[]) FROM messaging._replay r"), "1");
    ask<ReplayView>([&](auto done) { replays_.cancel(by_api.id, std::move(done)); });
    EXPECT_EQ(db_.sql("SELECT state FROM messaging.cancel_replay(" + by_psql + ")"), "cancelled");
    std::string listed;
    for (const auto& each : ask<service::ReplayPage>([&](auto done) { replays_.list({}, std::move(done)); }).replays) {
        listed +=
            (listed.empty() ? "" : " ") + row(each.id, each.state, each.status, each.endpoint_id, each.endpoint, each.event_type,
                                              each.tenant, each.since, each.until, each.progress, each.replayed, each.skipped,
                                              each.refused, each.last_error, each.created_at, each.finished_at);
    }
    EXPECT_EQ(listed, db_.sql("SELECT id, state, status, endpoint_id, endpoint, event_type, tenant, " + time("since") + ", " +
                              time("until") + ", progress, replayed, skipped, refused, last_error, " + time("created_at") + ", " +
                              time("finished_at") + " FROM messaging.replays ORDER BY id DESC"));
    const service::ReplayFilter dead{.endpoint = "shop"};
    const auto count = ask<service::Count>([&](auto done) { replays_.count(dead, std::move(done)); });
    EXPECT_EQ(row(count.count, count.exact ? "true" : "false"),
              db_.sql("SELECT * FROM messaging.count_replay(endpoint => 'shop')"));
    EXPECT_EQ(count.count, 4);
}

TEST_F(PsqlAndApi, SendingIsSwitchedAndShownAlike) {
    const auto shown = [&] {
        const service::StatusView view = status();
        EXPECT_EQ(row(view.state.running ? "running" : "stopped", view.state.changed_by, view.state.since),
                  db_.sql("SELECT state, changed_by, " + time("since") + " FROM messaging.queue_status"));
        return view.state.running;
    };
    EXPECT_TRUE(shown());
    ask<service::ServiceState>([&](auto done) { control_.set_running(false, "api", std::move(done)); });
    EXPECT_FALSE(shown());
    EXPECT_EQ(db_.sql("SELECT state, changed_by FROM messaging.stop()"), "stopped|api") << "it was stopped already";
    EXPECT_EQ(db_.sql("SELECT state FROM messaging.start()"), "running");
    EXPECT_TRUE(shown());
}

TEST_F(PsqlAndApi, EnginesAreTheInstancesOfTheStatus) {
    PgInstanceStore instances(db_.open_session(listen_session_settings()));
    for (const char* name : {"one", "two"}) {
        ask<core::InstanceId>([&](auto done) { instances.register_instance(name, "", std::move(done)); });
    }
    std::string listed;
    for (const auto& each : status().instances) {
        listed += (listed.empty() ? "" : " ") + row(each.id, each.name, each.started_at, each.in_flight);
    }
    EXPECT_EQ(listed, db_.sql("SELECT id, name, " + time("started_at") + ", in_flight FROM messaging.engines ORDER BY id"));
}

}  // namespace
}  // namespace messaging::repository
