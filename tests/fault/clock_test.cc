// The host's clock is wrong by a day, and PostgreSQL's is not: what is due is due all the same.
#include <gtest/gtest.h>
#include <unistd.h>

#include <ctime>

#include "support/private_postgres.h"
#include "support/stores.h"
#include "support/tally.h"
#include "support/world.h"

namespace messaging::test {
namespace {

constexpr const char* kLibrary = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

std::string http_date(std::time_t at) {
    char text[64];
    std::tm parts{};
    gmtime_r(&at, &parts);
    std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts);
    return text;
}

class Clock : public testing::TestWithParam<const char*> {};

TEST_P(Clock, WrongByADayChangesNoDueTime) {
    if (access(kLibrary, R_OK) != 0) GTEST_SKIP() << "NOT RUN: " << kLibrary << " is not here (Debian package faketime, x86-64)";
    constexpr int kAsked = 5;
    ScriptedReceiver receiver([](const http::Request& request, std::size_t nth) {
        ScriptedAnswer answer;
        if (nth == 1) {
            const bool asks = request.path == "/asks";
            answer.status = 503;
            if (asks) answer.headers.emplace_back("Retry-After", http_date(std::time(nullptr) + kAsked));
        }
        return answer;
    });
    const std::string database = migrated(empty_database());
    Tally tally(std::string("the host's clock is wrong by ") + GetParam(), database, receiver);
    Service service({{"WEBHOOK_URL", receiver.url()},
                     {"BACKOFF_BASE", "2s"},
                     {"LD_PRELOAD", kLibrary},
                     {"FAKETIME", GetParam()},
                     {"FAKETIME_DONT_FAKE_MONOTONIC", "1"},
                     {"DONT_FAKE_MONOTONIC", "1"}},
                    database);
    const std::string asks =
        service.sql("INSERT INTO messaging.endpoints (name, url) VALUES ('asks', '" + receiver.url("/asks") + "') RETURNING id");
    commit_messages(database, 12);
    service.sql("INSERT INTO messages (recipient, content, endpoint_id) SELECT 'a', 'b', " + asks +
                " FROM generate_series(1, 12)");
    tally.expect_settled();
    const auto seconds = [&](const std::string& what, const std::string& where) {
        return std::stod(service.sql("SELECT " + what +
                                     "(extract(epoch FROM m.sent_at - a.at)) FROM messages m JOIN messaging._attempt a ON "
                                     "a.message_id = m.id WHERE " +
                                     where));
    };
    EXPECT_GE(seconds("min", "endpoint_id = 1"), 0.9) << "half of two seconds at least";
    EXPECT_LE(seconds("max", "endpoint_id = 1"), 12) << "two seconds, and what a loaded machine adds";
    EXPECT_GE(seconds("min", "endpoint_id = " + asks), kAsked - 1.1) << "dates have whole seconds";
    EXPECT_LE(seconds("max", "endpoint_id = " + asks), kAsked + 10);
    EXPECT_EQ(service.sql("SELECT count(*) FROM messages WHERE attempts <> 2"), "0");
    tally.expect_none_lost(24);
}

INSTANTIATE_TEST_SUITE_P(Shifts, Clock, testing::Values("+1d", "-1d"),
                         [](const auto& shift) { return shift.param[0] == '+' ? std::string("Ahead") : std::string("Behind"); });

}  // namespace
}  // namespace messaging::test
