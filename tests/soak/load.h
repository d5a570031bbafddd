// What applications insert during the soak: messages for good and bad endpoints, events, and rows of every odd kind.
#pragma once

#include <atomic>
#include <string>

#include "soak/background.h"
#include "soak/chance.h"

namespace messaging::test {

class Load {
public:
    Load(const std::string& database_url, unsigned seed);

    long messages() const { return messages_; }  // whose commit was answered
    long events() const { return events_; }

private:
    std::optional<std::chrono::milliseconds> insert_messages(pg::Session& session);
    std::optional<std::chrono::milliseconds> insert_for_limited(pg::Session& session);
    std::optional<std::chrono::milliseconds> insert_events(pg::Session& session);
    std::optional<std::chrono::milliseconds> insert_odd(pg::Session& session);

    std::atomic<long> messages_{0};
    std::atomic<long> events_{0};
    Chance for_messages_;
    Chance for_limited_;
    Chance for_events_;
    Chance for_odd_;
    Background message_load_;  // depends-on: all above
    Background limited_load_;
    Background event_load_;
    Background odd_load_;
};

}  // namespace messaging::test
