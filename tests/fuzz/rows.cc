// Random rows, as a role with nothing but INSERT writes them, into a running system: a good message behind each odd one is
// received within a second, and no message is ever in no place. FUZZ_SECONDS and FUZZ_SEED; as a test it runs a few seconds.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

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

const std::vector<Column> kColumns{
    {"recipient", kTexts},           {"content", kTexts},       {"is_sent", {"true", "false", "NULL"}},
    {"abandoned", kNumbers},         {"attempts", kNumbers},    {"generation", kNumbers},
    {"created_at", kTimes},          {"endpoint_id", kNumbers}, {"sent_at", kTimes},
    {"receiver_message_id", kTexts}, {"last_error", kTexts},    {"event_id", kNumbers},
    {"ordering_key", kTexts},        {"scheduled_at", kTimes},  {"expires_at", kTimes},
    {"traceparent", kTexts},         {"id", kNumbers}};

class Rows {
public:
    explicit Rows(unsigned seed) : random_(seed) {}

    // Mostly two or three odd columns, so that the checks of the others do not refuse every row.
    std::string next() {
        std::string names = "recipient, content";
        std::string values = odd(0, 4) + ", " + odd(1, 4);
        for (std::size_t i = 2; i < kColumns.size(); ++i) {
            if (random_() % 8 != 0) continue;
            names += std::string(", ") + kColumns[i].name;
            values += ", " + kColumns[i].values[random_() % kColumns[i].values.size()];
        }
        return "INSERT INTO messages (" + names + ") OVERRIDING SYSTEM VALUE VALUES (" + values + ")";
    }

private:
    std::string odd(std::size_t column, unsigned one_in) {
        const auto& values = kColumns[column].values;
        return random_() % one_in == 0 ? values[random_() % values.size()] : "'x'";
    }
    std::mt19937 random_;
};

TEST(FuzzRows, AGoodMessageBehindAnyRowIsReceivedWithinASecond) {
    const unsigned long lasting = from_environment("FUZZ_SECONDS", 5);
    const auto seed = static_cast<unsigned>(from_environment("FUZZ_SEED", 1));
    const Receiver receiver;
    Service service({{"WEBHOOK_URL", receiver.url()}, {"MAX_ATTEMPTS", "3"}, {"BACKOFF_BASE", "100ms"}});
    const std::string role = "fuzz_writer_" + std::to_string(getpid());
    service.sql("CREATE ROLE " + role);
    service.sql("GRANT INSERT ON messages TO " + role);
    auto writer = connect_or_abort(service.database_url());
    ASSERT_TRUE(writer.execute_script("SET ROLE " + role));
    auto good = connect_or_abort(service.database_url());
    Rows rows(seed);
    long tried = 0;
    long accepted = 0;
    milliseconds longest{0};
    const Time end = std::chrono::steady_clock::now() + std::chrono::seconds(lasting);
    while (std::chrono::steady_clock::now() < end && !testing::Test::HasFailure()) {
        const std::string row = rows.next();
        ++tried;
        accepted += writer.execute_script(row).ok() ? 1 : 0;
        const Time began = std::chrono::steady_clock::now();
        const auto inserted = good.execute("INSERT INTO messages (recipient, content) VALUES ('good', 'one') RETURNING id");
        ASSERT_TRUE(inserted.ok());
        const std::string sent = "SELECT is_sent FROM messages WHERE id = " + std::string(inserted->text(0, 0));
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
