// Counting with the database's word on one side and the receiver's on the other.
#include "support/tally.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <utility>

#include "support/stores.h"

namespace messaging::test {
namespace {

constexpr const char* kSettled =
    "SELECT (SELECT count(*) FROM messaging._queue) + (SELECT count(*) FROM messaging._schedule) + (SELECT count(*) FROM "
    "messaging._claim) "
    "+ (SELECT count(*) FROM messages m WHERE NOT is_sent AND NOT EXISTS (SELECT FROM messaging._dead d WHERE d.id = m.id))";

}  // namespace

void commit_messages(const std::string& database_url, long count) {
    auto session = connect_or_abort(database_url);
    const auto done = session.execute(("INSERT INTO messages (recipient, content) SELECT '+90' || g, 'message ' || g FROM "
                                       "generate_series(1, " +
                                       std::to_string(count) + ") g")
                                          .c_str());
    EXPECT_TRUE(done.ok()) << (done ? "" : done.error().message);
}

Tally::Tally(std::string fault, std::string database_url, const ScriptedReceiver& receiver)
    : fault_(std::move(fault)), database_url_(std::move(database_url)), receiver_(receiver) {}

Tally::~Tally() {
    char seconds[32] = "-";
    if (seconds_) std::snprintf(seconds, sizeof seconds, "%.2f", *seconds_);
    std::printf("%s: committed %ld, received %zu, lost %ld, duplicated %ld, seconds to recover %s\n", fault_.c_str(), committed(),
                receiver_.count(), lost(), duplicated(), seconds);
    std::fflush(stdout);
}

void Tally::expect_sending_resumes(SteadyTime fault_ended, std::chrono::milliseconds within) {
    constexpr const char* kLastRecord = "SELECT coalesce(max(batch_id), 0) FROM messaging._sent_batch";
    const long before = number(kLastRecord);
    const auto resumed = [&] { return receiver_.first_arrival_after(fault_ended) && number(kLastRecord) > before; };
    ASSERT_TRUE(wait_until(resumed, std::chrono::seconds(60))) << fault_ << ": nothing is sent";
    expect_no_longer_than(within, fault_ended);
}

void Tally::expect_no_longer_than(std::chrono::milliseconds within, SteadyTime since) {
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - since;
    seconds_ = std::max(seconds_.value_or(0), elapsed.count());
    EXPECT_LE(elapsed.count(), std::chrono::duration<double>(within).count()) << fault_;
}

void Tally::expect_settled(std::chrono::milliseconds patience) {
    EXPECT_TRUE(wait_until([this] { return number(kSettled) == 0; }, patience)) << fault_ << ": unsettled " << number(kSettled);
}

void Tally::expect_recovered() {
    commit_messages(database_url_, 1);
    const std::string id = text("SELECT messaging.webhook_id(max(id)) FROM messages");
    EXPECT_TRUE(wait_until([&] { return receiver_.count(id) > 0; })) << fault_ << ": a new message does not arrive";
    expect_settled();
}

void Tally::expect_none_lost(long most_duplicates) {
    EXPECT_EQ(lost(), 0) << fault_;
    EXPECT_LE(duplicated(), most_duplicates) << fault_;
    std::map<std::string, std::string> bodies;
    for (const ReceivedRequest& received : receiver_.requests()) {
        const auto first = bodies.emplace(received.id, received.request.body).first;
        ASSERT_EQ(first->second, received.request.body) << fault_ << ": " << received.id << " was another message before";
    }
    EXPECT_LE(receiver_.distinct(), static_cast<std::size_t>(number("SELECT count(*) FROM messages"))) << fault_;
}

long Tally::exposed() const {
    return static_cast<long>(receiver_.distinct()) - number("SELECT count(*) FROM messages WHERE is_sent");
}

long Tally::committed() const { return number("SELECT count(*) FROM messages"); }

long Tally::duplicated() const { return static_cast<long>(receiver_.count() - receiver_.distinct()); }

// The dead are not lost: they stand where an operator sees them.
long Tally::lost() const {
    auto session = connect_or_abort(database_url_);
    const auto rows = session.execute(
        "SELECT messaging.webhook_id(id) FROM messages m WHERE NOT EXISTS (SELECT FROM messaging._dead d WHERE d.id = m.id)");
    if (!rows) return -1;
    long missing = 0;
    for (int row = 0; row < rows->size(); ++row) {
        if (receiver_.count(std::string(rows->text(row, 0))) == 0) ++missing;
    }
    return missing;
}

long Tally::number(const std::string& sql) const {
    const std::string answer = text(sql);
    return answer.empty() ? -1 : std::stol(answer);
}

std::string Tally::text(const std::string& sql) const {
    auto session = connect_or_abort(database_url_);
    const auto rows = session.execute(sql.c_str());
    if (!rows) {
        ADD_FAILURE() << sql << ": " << rows.error().message;
        return "";
    }
    return std::string(rows->text(0, 0));
}

}  // namespace messaging::test
