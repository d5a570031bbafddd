// Watch: the promises that must hold at every moment, looked at every second, and what must be so at the end.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "soak/acceptances.h"
#include "soak/background.h"

namespace messaging::test {

class Watch {
public:
    Watch(const std::string& database_url, const Acceptances& acceptances);

    long looks() const { return looks_; }
    long misplaced() const { return misplaced_; }    // looks that have found an unsent message that is not in exactly one place
    long false_sent() const { return false_sent_; }  // messages that are sent, and that no receiver has accepted
    long holding() const { return holding_; }        // looks at which messages were held

private:
    std::optional<std::chrono::milliseconds> look(pg::Session& session);
    bool look_at_sent(pg::Session& session);

    const Acceptances& acceptances_;
    std::atomic<long> looks_{0};
    std::atomic<long> misplaced_{0};
    std::atomic<long> false_sent_{0};
    std::atomic<long> holding_{0};
    std::int64_t last_batch_ = 0;
    Background looking_;  // depends-on: all above
};

// At the end, when everything is sent or dead-lettered.
struct Account {
    long messages = 0;
    long lost = 0;        // neither accepted nor dead-lettered
    long false_sent = 0;  // sent, and not accepted
};
Account account_of(const std::string& database_url, const Acceptances& acceptances);

}  // namespace messaging::test
