// Random faults under load, for SOAK_MINUTES; SOAK_SEED repeats their order, and SOAK_FAULT="kill -9" has this one alone. Fifty
// endpoints of every bad kind, events, secrets that are rotated, rate limits and replays. Nothing committed may be lost, be
// nowhere, or count as sent without having been accepted; every request is signed with a valid secret, and no limit is exceeded
// by more than 5 % over any 10 s.
#include <gtest/gtest.h>

#include <cstdlib>
#include <optional>
#include <random>

#include "soak/endpoints.h"
#include "soak/faults.h"
#include "soak/load.h"
#include "soak/watch.h"
#include "support/private_postgres.h"
#include "support/stores.h"

namespace messaging::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using SteadyTime = std::chrono::steady_clock::time_point;

// Sent and not yet recorded when an engine dies: MAX_IN_FLIGHT at the most, under a load as light as this.
constexpr long kExposedPerEngine = 512;

unsigned long from_environment(const char* name, unsigned long fallback) {
    const char* const text = std::getenv(name);
    const unsigned long value = text == nullptr ? 0 : std::strtoul(text, nullptr, 10);
    return value == 0 ? fallback : value;
}

// Each breaker waits for a minute at most before it tries again, and replays are paced.
constexpr int kSettlingMinutes = 6;

std::string sql(const std::string& text) { return shared_postgres().run_sql(text, "soak"); }
long number(const std::string& text) { return std::strtol(sql(text).c_str(), nullptr, 10); }

// Moves and records last as long as a slow disk or a standby would make them, at random.
constexpr const char* kSlowWrites =
    "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF random() < 0.1 THEN PERFORM "
    "pg_catalog.pg_sleep(random() * 0.2); END IF; RETURN NULL; END';"
    "CREATE TRIGGER slow AFTER UPDATE OF instance_id ON messaging._claim FOR EACH STATEMENT EXECUTE FUNCTION slow();"
    "CREATE TRIGGER slow AFTER INSERT ON messaging._sent_batch FOR EACH STATEMENT EXECUTE FUNCTION slow();"
    "CREATE TRIGGER slow AFTER INSERT ON messaging._attempt FOR EACH STATEMENT EXECUTE FUNCTION slow();"
    "CREATE ROLE soak_writer; GRANT INSERT ON messages TO soak_writer;";

// Messages that are neither sent nor dead-lettered, and what stands where it should not any more.
constexpr const char* kUnsettled =
    "SELECT (SELECT count(*) FROM messaging._queue) + (SELECT count(*) FROM messaging._schedule) + (SELECT count(*) FROM "
    "messaging._claim) + (SELECT count(*) FROM messaging._replay WHERE state = 'running') "
    "+ (SELECT count(*) FROM messages m WHERE NOT is_sent AND NOT EXISTS (SELECT FROM messaging._dead d WHERE d.id = m.id))";

constexpr const char* kWhatIsUnsettled =
    "SELECT (SELECT count(*) FROM messaging._replay WHERE state = 'running') || ' replays run' || coalesce((SELECT "
    "string_agg(text, '') "
    "FROM (SELECT format('; %s %s for %s (%s: %s)', count(*), s.status, s.endpoint, e.state, e.reason) AS text FROM "
    "messaging.message_status s LEFT JOIN messaging._endpoint_state e USING (endpoint_id) WHERE s.status NOT IN ('sent', 'dead') "
    "GROUP BY s.status, s.endpoint, e.state, e.reason LIMIT 20) t), '')";

class Soak : public testing::Test {
protected:
    void SetUp() override {
        database_ = migrated(shared_postgres().create_database("soak"));
        auto session = connect_or_abort(database_);
        ASSERT_TRUE(session.execute_script(kSlowWrites));
        create_endpoints(database_, good_, bad_);
    }

    // Until the end, one fault after the other; everything else goes on beside them.
    void run(unsigned seed, SteadyTime end) {
        Chance chance(seed);
        std::vector<Fault> faults = faults_->all();
        if (const char* const only = std::getenv("SOAK_FAULT")) {
            std::erase_if(faults, [only](const Fault& fault) { return std::string(only) != fault.name; });
            ASSERT_FALSE(faults.empty()) << "SOAK_FAULT is the name of a fault";
        }
        const Load load(database_, seed);
        const Operators operators(database_, good_, signatures_, seed);
        const Watch watch(database_, acceptances_);
        for (int round = 1; std::chrono::steady_clock::now() < end && !HasFailure(); ++round) {
            const Fault& fault = chance.of(faults);
            const milliseconds lasting(chance.below(12'000));
            const milliseconds rest(chance.below(3000));
            std::printf("%4d  %s, %.1f s\n", round, fault.name, static_cast<double>(lasting.count()) / 1000);
            std::fflush(stdout);
            fault.begin();
            wait(lasting);
            fault.end();
            const SteadyTime ended = std::chrono::steady_clock::now();
            EXPECT_TRUE(wait_until([&] { return good_.arrived_after(ended); }, seconds(20))) << fault.name << ": nothing is sent";
            wait(rest);
            expect_promises(watch, fault.name);
        }
        EXPECT_GT(watch.holding(), 0);
        looks_ = watch.looks();
        misplaced_ = watch.misplaced();
        committed_ = load.messages();
        events_ = load.events();
        std::printf("%ld looks, at %ld messages were held; %ld changes of endpoints, %ld rotations, %ld replays\n", looks_,
                    watch.holding(), operators.changes(), operators.rotations(), operators.replays());
    }
    void expect_promises(const Watch& watch, const char* when) {
        EXPECT_EQ(watch.misplaced(), 0) << when;
        EXPECT_EQ(watch.false_sent(), 0) << when;
        EXPECT_EQ(signatures_.invalid(), 0) << when << ": " << signatures_.example();
        EXPECT_EQ(good_.rates().exceeded(), 0) << when << ": by " << 100 * good_.rates().worst_excess() << " %";
        EXPECT_EQ(acceptances_.changed(), 0) << when << ": a repeat had another body";
    }

    // What is there when all receivers have mended and everything is sent.
    void expect_settled() {
        bool settled = false;
        for (int minute = 1; !settled && minute <= kSettlingMinutes; ++minute) {
            settled = wait_until([] { return number(kUnsettled) == 0; }, seconds(minute == 1 ? 20 : 60));
            if (!settled) std::printf("without faults, look %d: %s\n", minute, sql(kWhatIsUnsettled).c_str());
            std::fflush(stdout);
        }
        EXPECT_TRUE(settled) << number(kUnsettled) << " unsettled";
        EXPECT_EQ(number("SELECT count(*) FROM messaging.misplaced()"), 0);
        EXPECT_EQ(number("SELECT count(*) FROM messaging._dead d JOIN messages m USING (id) JOIN messaging.endpoints e ON e.id = "
                         "m.endpoint_id WHERE m.recipient IS DISTINCT FROM 'odd' AND e.name NOT LIKE 'bad-%' AND e.name NOT LIKE "
                         "'passing-%'"),
                  0)
            << "messages for good receivers were given up";
        EXPECT_GE(number("SELECT count(*) FROM messages WHERE recipient = 'r'"), committed_) << "committed, and not there";
        EXPECT_GE(number("SELECT count(*) FROM messaging.events WHERE type NOT LIKE 'messaging.%'"), events_);
        EXPECT_EQ(number(kWrongFanOut), 0) << "events did not become the messages of their subscribers";
        EXPECT_TRUE(wait_until([] { return number("SELECT count(*) FROM messaging._receipt_backlog") == 0; }))
            << "receipts are owed";
    }
    void expect_event_bodies() {
        auto session = connect_or_abort(database_);
        const auto rows = session.execute(
            "SELECT messaging.webhook_id(m.id), v.type, v.data FROM messages m JOIN messaging.events v ON v.id = m.event_id JOIN "
            "messaging.endpoints e ON e.id = m.endpoint_id WHERE e.name LIKE 'event-%'");
        ASSERT_TRUE(rows.ok());
        const auto bodies = good_.event_bodies();
        long wrong = 0;
        for (int row = 0; row < rows->size(); ++row) {
            const auto body = bodies.find(std::string(rows->text(row, 0)));
            const std::string begin = R"({"type":")" + std::string(rows->text(row, 1)) + R"(","timestamp":")";
            const std::string end = R"(","data":)" + std::string(rows->text(row, 2)) + "}";
            if (body == bodies.end() || !body->second.starts_with(begin) || !body->second.ends_with(end)) ++wrong;
        }
        EXPECT_EQ(wrong, 0) << "events were not received byte for byte";
    }
    void print_summary(unsigned long minutes, unsigned seed, const RateWindows& rates, const Account& account) {
        const auto own = [](const std::string& type) {
            return number("SELECT count(*) FROM messaging.events WHERE type = 'messaging.endpoint." + type + "'");
        };
        std::printf(
            "soak, seed %u, %lu minutes: %ld messages, %ld events, %ld requests to good and %ld to bad receivers; lost %ld, "
            "misplaced %ld in %ld looks, false sent %ld; signatures: %ld verified with %ld secrets, invalid %ld; limits: %ld "
            "requests and %ld repeats by libcurl, worst excess %.1f %%, exceeded %ld; breakers opened %ld, closed %ld, endpoints "
            "disabled %ld; %ld "
            "replayed, "
            "%ld deaths, sent again %ld\n",
            seed, minutes, account.messages, events_, good_.requests(), bad_.requests(), account.lost, misplaced_, looks_,
            account.false_sent, signatures_.verified(), signatures_.secrets(), signatures_.invalid(), rates.total(),
            rates.repeats(), 100 * rates.worst_excess(), rates.exceeded(), own("failing"), own("recovered"), own("disabled"),
            number("SELECT coalesce(sum(replayed), 0) FROM messaging._replay"), faults_->deaths(), acceptances_.repeated());
        std::fflush(stdout);
        EXPECT_GT(own("failing"), 0) << "no breaker has opened";
        EXPECT_GT(own("recovered"), 0) << "no breaker has closed";
    }

    Acceptances acceptances_;
    Signatures signatures_;
    GoodReceiver good_{acceptances_, signatures_};
    BadReceivers bad_{acceptances_};
    std::string database_;
    std::optional<Faults> faults_;
    long looks_ = 0;
    long misplaced_ = 0;
    long committed_ = 0;
    long events_ = 0;
};

TEST_F(Soak, RandomFaultsBreakNoPromise) {
    const unsigned long minutes = from_environment("SOAK_MINUTES", 10);
    const auto seed = static_cast<unsigned>(from_environment("SOAK_SEED", std::random_device{}() % 100000 + 1));
    std::printf("soak: %lu minutes, seed %u, %zu bad kinds of %d endpoints each\n", minutes, seed, bad_.kinds().size(),
                kOfEachBadKind);
    faults_.emplace(database_, good_, seed);
    run(seed, std::chrono::steady_clock::now() + std::chrono::minutes(minutes));
    const RateWindows rates = good_.rates();  // the limits end here
    mend_endpoints(database_, good_);
    expect_settled();
    {
        auto session = connect_or_abort(database_);
        EXPECT_TRUE(signatures_.read_secrets(session));
        signatures_.verify();
        const Watch watch(database_, acceptances_);
        EXPECT_TRUE(wait_until([&] { return watch.looks() > 0; }));
        EXPECT_EQ(signatures_.invalid(), 0) << signatures_.example();
        EXPECT_EQ(watch.misplaced(), 0);
    }
    expect_event_bodies();
    const Account account = account_of(database_, acceptances_);
    EXPECT_EQ(account.lost, 0);
    EXPECT_EQ(account.false_sent, 0);
    EXPECT_EQ(rates.exceeded(), 0) << 100 * rates.worst_excess() << " %";
    const long replayed = number("SELECT coalesce(sum(replayed), 0) FROM messaging._replay");
    EXPECT_LE(acceptances_.repeated(), replayed + faults_->deaths() * kExposedPerEngine);
    print_summary(minutes, seed, rates, account);
}

}  // namespace
}  // namespace messaging::test
