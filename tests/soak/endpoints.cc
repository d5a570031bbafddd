// SQL, as an operator would send it.
#include "soak/endpoints.h"

#include <gtest/gtest.h>

#include "crypto/signing_secret.h"
#include "support/stores.h"

namespace messaging::test {
namespace {

using std::chrono::milliseconds;
using Pause = std::optional<milliseconds>;

constexpr int kGood = 10;
constexpr std::array kLimits{10, 20, 40};  // each twice
constexpr const char* kLasting = "(name LIKE 'good-%' OR name LIKE 'limited-%' OR name LIKE 'event-%' OR name LIKE 'bad-%')";

std::string quoted(const std::string& text) { return "'" + text + "'"; }

std::string new_secret(core::SigningKind kind) { return std::string(crypto::new_secret(kind).value().view()); }

// With a secret from the beginning, so that every one that ever signs is known (signatures.h).
std::string signed_endpoint(const std::string& name, const std::string& url, const char* rate, core::SigningKind kind) {
    const std::string word(core::word_of(kind));
    return "WITH made AS (INSERT INTO messaging.endpoints (name, url, rate_limit, signing) VALUES (" + quoted(name) + ", " +
           quoted(url) + ", " + rate + ", " + quoted(word) +
           ") RETURNING id) INSERT INTO messaging._endpoint_secret (endpoint_id, kind, secret) SELECT id, " + quoted(word) +
           ", " + quoted(new_secret(kind)) + " FROM made;";
}

std::string subscriber(const GoodReceiver& good, const std::string& name, const char* types, const char* tenant = "NULL") {
    return "INSERT INTO messaging.endpoints (name, url, event_types, tenant) VALUES (" + quoted(name) + ", " +
           quoted(good.url(name)) + ", '{" + types + "}', " + tenant + ");";
}

Pause execute(pg::Session& session, const std::string& sql, milliseconds pause, std::atomic<long>& count) {
    const auto done = session.execute(sql.c_str());
    if (done) ++count;
    return done || done.error().kind != core::ErrorKind::kUnavailable ? Pause(pause) : std::nullopt;
}

}  // namespace

void create_endpoints(const std::string& database_url, const GoodReceiver& good, const BadReceivers& bad) {
    std::string sql =
        "INSERT INTO messaging.endpoints (name, url, max_in_flight) VALUES ('slow', " + quoted(good.url("slow")) + ", 4);";
    for (int i = 0; i < kGood; ++i) {
        const std::string name = "good-" + std::to_string(i);
        sql += signed_endpoint(name, good.url(name), "NULL", i % 2 == 0 ? core::SigningKind::kV1 : core::SigningKind::kV1a);
    }
    for (std::size_t i = 0; i < 2 * kLimits.size(); ++i) {
        const std::string limit = std::to_string(kLimits[i / 2]);
        const std::string name = "limited-" + limit + "-" + std::to_string(i);
        sql += signed_endpoint(name, good.url(name), limit.c_str(), core::SigningKind::kV1);
    }
    sql += subscriber(good, "event-exact", "order.paid") + subscriber(good, "event-below", "order.*") +
           subscriber(good, "event-all", "*") + subscriber(good, "event-tenant", "*", "'tenant-1'") +
           subscriber(good, "event-own", "messaging.*");
    for (const BadKind& kind : bad.kinds()) {
        for (int i = 0; i < kOfEachBadKind; ++i) {
            sql += "INSERT INTO messaging.endpoints (name, url, max_attempts, timeout_seconds, event_types) VALUES (" +
                   quoted("bad-" + kind.name + "-" + std::to_string(i)) + ", " + quoted(kind.url(i)) + ", 4, " +
                   (kind.accepts_late ? "10" : "NULL") + ", '" + (i % 10 == 0 ? "{broken.*}" : "{}") + "');";
        }
    }
    auto session = connect_or_abort(database_url);
    const auto done = session.execute_script(sql);
    EXPECT_TRUE(done.ok()) << (done ? "" : done.error().message);
}

void enable_endpoints(const std::string& database_url) {
    auto session = connect_or_abort(database_url);
    const auto enabled = session.execute_script(
        "SELECT count(messaging.enable(endpoint_id::text)) FROM messaging._endpoint_state WHERE state IN ('disabled', "
        "'failing')");
    EXPECT_TRUE(enabled.ok()) << (enabled ? "" : enabled.error().message);
}

void mend_endpoints(const std::string& database_url, const GoodReceiver& good) {
    auto session = connect_or_abort(database_url);
    const std::string base = good.url("");
    const auto mended = session.execute_script("UPDATE messaging.endpoints SET url = " + quoted(base) +
                                               " || name, max_attempts = NULL, rate_limit = NULL, max_in_flight = 64 "
                                               "WHERE name <> 'default' AND name <> 'slow'");
    EXPECT_TRUE(mended.ok()) << (mended ? "" : mended.error().message);
    const auto cancelled = session.execute_script(
        "SELECT count(messaging.cancel_replay(id)) FROM messaging.replays WHERE state = 'running' AND id % 2 = 0");
    EXPECT_TRUE(cancelled.ok()) << (cancelled ? "" : cancelled.error().message);
    enable_endpoints(database_url);
}

Operators::Operators(const std::string& database_url, const GoodReceiver& good, Signatures& signatures, unsigned seed)
    : good_(good),
      signatures_(signatures),
      for_changes_(seed + 10),
      for_rotations_(seed + 11),
      for_replays_(seed + 12),
      changing_(database_url, "operator", [this](auto& session) { return change(session); }),
      rotating_(database_url, "rotation", [this](auto& session) { return rotate(session); }),
      replaying_(database_url, "replays", [this](auto& session) { return replay(session); }) {}

Pause Operators::change(pg::Session& session) {
    const milliseconds pause = for_changes_.pause(50, 600);
    return execute(session, next_change(), pause, changes_);
}

std::string Operators::next_change() {
    const std::string any =
        std::string("(SELECT name FROM messaging.endpoints WHERE ") + kLasting + " ORDER BY random() LIMIT 1)";
    switch (for_changes_.below(7)) {
        case 0: {
            const std::string name = "passing-" + std::to_string(created_++);
            const std::string url = for_changes_.one_in(3) ? "http://127.0.0.1:9/" : good_.url(name);
            return "INSERT INTO messaging.endpoints (name, url, event_types, tenant, max_attempts) VALUES (" + quoted(name) +
                   ", " + quoted(url) + ", '{order.*}', " + (for_changes_.one_in(2) ? "NULL" : "'tenant-1'") + ", 3)";
        }
        case 1:
            return "DELETE FROM messaging.endpoints WHERE name LIKE 'passing-%' AND id IN (SELECT id FROM messaging.endpoints "
                   "WHERE name LIKE 'passing-%' ORDER BY id OFFSET 5 LIMIT 2)";
        case 2:
        case 3:
            return "UPDATE messaging.endpoints SET description = 'edited ' || clock_timestamp(), max_in_flight = 1 + "
                   "(random() * 60)::int, headers = json_build_object('x-edit', random()::text)::text WHERE name = " +
                   any;
        case 4: return "SELECT 1 FROM messaging.disable(" + any + ", 'the soak')";
        default:  // 410 disables all the time: those come last
            return "SELECT count(messaging.enable(id::text)) FROM (SELECT e.id FROM messaging._endpoint_state s JOIN "
                   "messaging.endpoints e ON e.id = s.endpoint_id WHERE s.state = 'disabled' "
                   "ORDER BY e.name LIKE 'bad-410%', random() LIMIT 3) d";
    }
}

// Each reading comes before the next rotation, so that no secret comes and goes unseen.
Pause Operators::rotate(pg::Session& session) {
    if (!signatures_.read_secrets(session)) return std::nullopt;
    signatures_.verify();
    const milliseconds pause = for_rotations_.pause(200, 1000);
    const unsigned number = for_rotations_.below(kGood + 2 * kLimits.size());
    const bool limited = number >= kGood;
    const unsigned place = number - kGood;
    const std::string name = limited ? "limited-" + std::to_string(kLimits[place / 2]) + "-" + std::to_string(place)
                                     : "good-" + std::to_string(number);
    const auto kind = limited || number % 2 == 0 ? core::SigningKind::kV1 : core::SigningKind::kV1a;
    const std::string overlap = std::to_string(std::array{0, 10, 60}[for_rotations_.below(3)]);
    return execute(session,
                   "SELECT messaging._rotate_secret(id, " + quoted(std::string(core::word_of(kind))) + ", " +
                       quoted(new_secret(kind)) + ", " + overlap + ") FROM messaging.endpoints WHERE name = " + quoted(name),
                   pause, rotations_);
}

Pause Operators::replay(pg::Session& session) {
    static constexpr std::array kFilters{"endpoint := 'good-1', status := 'sent', since := now() - interval '5 seconds'",
                                         "endpoint := 'limited-20-2', status := 'both', since := now() - interval '3 seconds'",
                                         "endpoint := 'default', status := 'sent', since := now() - interval '2 seconds'",
                                         "event_type := 'order.*', status := 'both', since := now() - interval '10 seconds'",
                                         "status := 'dead', since := now() - interval '30 seconds'",
                                         "endpoint := 'bad-mending-7', status := 'both'",
                                         "tenant := 'tenant-1', status := 'sent', since := now() - interval '5 seconds'"};
    const milliseconds pause = for_replays_.pause(500, 5000);
    if (for_replays_.one_in(4)) {
        return execute(session,
                       "SELECT count(messaging.cancel_replay(id)) FROM (SELECT id FROM messaging.replays WHERE state = 'running' "
                       "ORDER BY random() LIMIT 1) r",
                       pause, changes_);
    }
    return execute(session, "SELECT messaging.replay(" + std::string(for_replays_.of(kFilters)) + ")", pause, replays_);
}

}  // namespace messaging::test
