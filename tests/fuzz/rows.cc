// Random rows of messages and events, as a role with nothing but INSERT writes them, into a running system: a good message, or
// event, behind each odd one is received within a second, and no message is ever in no place. FUZZ_SECONDS and FUZZ_SEED; as a
// test it runs a few seconds.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "core/sqlstate.h"
#include "support/private_postgres.h"
#include "support/stores.h"
#include "support/world.h"

namespace messaging::test {
namespace {

using std::chrono::milliseconds;
using Time = std::chrono::steady_clock::time_point;

constexpr milliseconds kPatience{1000};

unsigned long from_environment(const char* name, unsigned long fallback) {
    const char* const text = std::getenv(name);
    const unsigned long value = text == nullptr ? 0 : std::strtoul(text, nullptr, 10);
    return value == 0 ? fallback : value;
}

struct Column {
    const char* name;
    std::vector<std::string> values;
    const char* usual = nullptr;  // it is named in each row, and has this value as a rule
};

const std::vector<std::string> kTexts{"''",
                                      "' '",
                                      "E'\\t\\n\\r'",
                                      "E'\\x01'",
                                      "'\"'",
                                      "E'\\\\'",
                                      "'{}'",
                                      "repeat('x', 255)",
                                      "repeat('x', 256)",
                                      "repeat('é', 2048)",
                                      "repeat('x', 4096)",
                                      "repeat('x', 4097)",
                                      "repeat('x', 100000)",
                                      "E'\\U0010FFFF'",
                                      "E'\\uFEFF'",
                                      "'𝄞🎈'",
                                      "NULL",
                                      "'null'",
                                      "'+90555'",
                                      "chr(8238) || 'x'"};
const std::vector<std::string> kTimes{"'infinity'",
                                      "'-infinity'",
                                      "'epoch'",
                                      "'4713-01-01 BC'",
                                      "'294276-12-31'",
                                      "now()",
                                      "'2999-12-31 23:59:59.999999+00'",
                                      "'1970-01-01 00:00+00'",
                                      "now() + interval '900 years'",
                                      "NULL"};
const std::vector<std::string> kNumbers{"0",
                                        "1",
                                        "-1",
                                        "127",
                                        "128",
                                        "999",
                                        "1000",
                                        "31998",
                                        "31999",
                                        "32000",
                                        "32001",
                                        "32767",
                                        "2147483647",
                                        "-2147483648",
                                        "4294967296",
                                        "9223372036854775807",
                                        "-9223372036854775808",
                                        "NULL"};

const std::vector<std::string> kTypes{"'order.paid'",
                                      "'order'",
                                      "'order.'",
                                      "'.order'",
                                      "'order..paid'",
                                      "'*'",
                                      "'order.*'",
                                      "'messaging.endpoint.failing'",
                                      "'messaging'",
                                      "'messagingx'",
                                      "'ORDER.PAID'",
                                      "'a' || repeat('.a', 63)",
                                      "'a' || repeat('.a', 64)",
                                      "repeat('x', 128)",
                                      "repeat('x', 129)",
                                      "'x\"y'",
                                      "E'x\\ny'",
                                      "'ordér'",
                                      "''",
                                      "NULL"};
const std::vector<std::string> kDocuments{"'{}'",
                                          "' {} '",
                                          "E'\\n{}\\n'",
                                          "'null'",
                                          "'0'",
                                          "'-0.0e-0'",
                                          "'1e999999'",
                                          "repeat('9', 4096)::json",
                                          "repeat('9', 4097)::json",
                                          "'\"\\u0000\"'",
                                          "'\"\\ud800\"'",
                                          "E'\"\\U0010FFFF\\u2028\"'",
                                          "('\"' || repeat('é', 2047) || '\"')::json",
                                          "(repeat('[', 2048) || repeat(']', 2048))::json",
                                          "'{\"a\": 1, \"a\": 2}'",
                                          "'{\"\": {\"data\": \"}\"}}'",
                                          "'[1,]'",
                                          "''",
                                          "'not json'",
                                          "NULL"};
const std::vector<std::string> kEventIds{"-1", "0", "1000000", "2147483648", "9223372036854775807", "NULL"};

struct Table {
    const char* name;
    std::vector<Column> columns;
};

const Table kMessages{"messages",
                      {{"recipient", kTexts, "'x'"},
                       {"content", kTexts, "'x'"},
                       {"is_sent", {"true", "false", "NULL"}},
                       {"abandoned", kNumbers},
                       {"attempts", kNumbers},
                       {"generation", kNumbers},
                       {"created_at", kTimes},
                       {"endpoint_id", kNumbers},
                       {"sent_at", kTimes},
                       {"receiver_message_id", kTexts},
                       {"last_error", kTexts},
                       {"event_id", kNumbers},
                       {"ordering_key", kTexts},
                       {"scheduled_at", kTimes},
                       {"expires_at", kTimes},
                       {"traceparent", kTexts},
                       {"id", kNumbers}}};
const Table kEvents{"messaging.events",
                    {{"type", kTypes, "'order.paid'"},
                     {"data", kDocuments, "'{}'"},
                     {"tenant", kTexts},
                     {"created_at", kTimes},
                     {"id", kEventIds}}};

class Rows {
public:
    explicit Rows(unsigned seed) : random_(seed) {}

    // Mostly two or three odd columns, so that the checks of the others do not refuse every row.
    std::string next(const Table& table) {
        std::string names;
        std::string values;
        for (const Column& column : table.columns) {
            const bool odd = random_() % (column.usual != nullptr ? 3 : 8) == 0;
            if (!odd && column.usual == nullptr) continue;
            names += std::string(names.empty() ? "" : ", ") + column.name;
            values += (values.empty() ? "" : ", ") + (odd ? column.values[random_() % column.values.size()] : column.usual);
        }
        return "INSERT INTO " + std::string(table.name) + " (" + names + ") OVERRIDING SYSTEM VALUE VALUES (" + values + ")";
    }

private:
    std::mt19937 random_;
};

constexpr const char* kGoodMessage = "INSERT INTO messages (recipient, content) VALUES ('good', 'one') RETURNING id";
constexpr const char* kGoodEvent = "SELECT messaging.publish('good.one', '{\"good\": true}')";
constexpr const char* kSubscribers =
    "INSERT INTO messaging.endpoints (name, url, event_types, tenant, signing) VALUES ('all', '%', '{*}', NULL, 'v1'), "
    "('orders', '%', '{order.*,order}', NULL, 'v1a'), ('good', '%', '{good.one}', NULL, 'none'), ('of a tenant', '%', '{*}', "
    "'+90555', 'none')";

TEST(FuzzRows, AGoodMessageOrEventBehindAnyRowIsReceivedWithinASecond) {
    const unsigned long lasting = from_environment("FUZZ_SECONDS", 5);
    const auto seed = static_cast<unsigned>(from_environment("FUZZ_SEED", 1));
    const Receiver receiver;
    Service service({{"WEBHOOK_URL", receiver.url()}, {"MAX_ATTEMPTS", "3"}, {"BACKOFF_BASE", "100ms"}});
    const std::string role = "fuzz_writer_" + std::to_string(getpid());
    service.sql("CREATE ROLE " + role);
    service.sql("GRANT INSERT ON messages, messaging.events TO " + role);
    service.sql("GRANT USAGE ON SCHEMA messaging TO " + role);
    std::string subscribers = kSubscribers;
    for (std::size_t at = 0; (at = subscribers.find('%')) != std::string::npos;) subscribers.replace(at, 1, receiver.url());
    service.sql(subscribers);
    auto writer = connect_or_abort(service.database_url());
    ASSERT_TRUE(writer.execute_script("SET ROLE " + role));
    auto good = connect_or_abort(service.database_url());
    Rows rows(seed);
    long tried = 0;
    long accepted = 0;
    milliseconds longest{0};
    const Time end = std::chrono::steady_clock::now() + std::chrono::seconds(lasting);
    while (std::chrono::steady_clock::now() < end && !testing::Test::HasFailure()) {
        const bool events = ++tried % 2 == 0;
        const std::string row = rows.next(events ? kEvents : kMessages);
        accepted += writer.execute_script(row).ok() ? 1 : 0;
        const Time began = std::chrono::steady_clock::now();
        auto inserted = good.execute(events ? kGoodEvent : kGoodMessage);
        // An odd row has an id that the sequence comes to only now.
        while (!inserted && inserted.error().sqlstate == core::kUniqueViolation) {
            inserted = good.execute(events ? kGoodEvent : kGoodMessage);
        }
        ASSERT_TRUE(inserted.ok()) << inserted.error().message;
        const std::string id(inserted->text(0, 0));
        const std::string sent = events ? "SELECT count(*) = 2 AND bool_and(is_sent) FROM messages WHERE event_id = " + id
                                        : "SELECT is_sent FROM messages WHERE id = " + id;
        const auto is_sent = [&] {
            const auto answer = good.execute(sent.c_str());
            return answer.ok() && answer->boolean(0, 0);
        };
        while (!is_sent() && std::chrono::steady_clock::now() - began < kPatience) {
        }
        const auto elapsed = std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - began);
        longest = std::max(longest, elapsed);
        EXPECT_LT(elapsed, kPatience) << "behind " << row;
    }
    ASSERT_TRUE(wait_until([&] { return service.sql("SELECT count(*) FROM messaging.misplaced()") == "0"; })) << "seed " << seed;
    const auto open = [&] {
        return service.sql(
            "SELECT count(*) FROM messages m WHERE NOT is_sent AND NOT EXISTS (SELECT FROM messaging._dead d WHERE d.id = m.id)");
    };
    EXPECT_TRUE(wait_until([&] { return open() == "0"; }))
        << open() << " accepted rows are neither sent nor dead-lettered, seed " << seed;
    std::printf("fuzz: rows, %ld inputs in %lu s, %ld of them accepted, the good messages took %ld ms at the most, no finding\n",
                tried, lasting, accepted, static_cast<long>(longest.count()));
    ASSERT_TRUE(writer.execute_script("RESET ROLE; DROP OWNED BY " + role + "; DROP ROLE " + role));
}

}  // namespace
}  // namespace messaging::test
