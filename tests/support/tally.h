// Tally: what was committed against what has arrived, and the one line that a fault test ends with.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "support/scripted_receiver.h"

namespace messaging::test {

using SteadyTime = std::chrono::steady_clock::time_point;

// Commits `count` messages in one statement.
void commit_messages(const std::string& database_url, long count);

class Tally {
public:
    // The receiver gets every message of the database, and nothing else.
    Tally(std::string fault, std::string database_url, const ScriptedReceiver& receiver);
    ~Tally();  // prints the line

    // Waits until a message has arrived and another transaction of outcomes is recorded; keeps the longest such wait.
    void expect_sending_resumes(SteadyTime fault_ended, std::chrono::milliseconds within);
    // The recovery that began at `since` has just ended.
    void expect_no_longer_than(std::chrono::milliseconds within, SteadyTime since);
    // Waits until every committed message is sent or dead, and nothing stands in queue, schedule or ledger.
    void expect_settled(std::chrono::milliseconds patience = std::chrono::seconds(60));
    // Commits one more message and sees it arrive: "and it recovers".
    void expect_recovered();
    // Nothing lost, at most so many sent again, and each repeat the same message as the first time.
    void expect_none_lost(long most_duplicates);

    // Arrived but not recorded as sent: what a death at this moment would have sent again.
    long exposed() const;
    long committed() const;
    long duplicated() const;

private:
    long lost() const;
    long number(const std::string& sql) const;
    std::string text(const std::string& sql) const;

    std::string fault_;
    std::string database_url_;
    const ScriptedReceiver& receiver_;
    std::optional<double> seconds_;
};

}  // namespace messaging::test
