// ReceiverStats: what the built-in receiver has been sent, counted by webhook-id.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "core/clock.h"

namespace messaging::commands {

// One thread. Bounded: repetitions are recognized of the first ten million different ids only. An id of this service,
// msg_<tag>_<number>_<salt>, takes four bytes. With a set of strings instead, the receiver took half as much time again for
// each message at a million.
class ReceiverStats {
public:
    // An empty id is counted as received only.
    void add(std::string_view id, std::string body, core::WallTime at);
    void reset();

    std::size_t received() const { return received_; }
    std::size_t distinct() const { return distinct_; }
    std::size_t duplicates() const { return duplicates_; }

    std::string stats_json(std::size_t in_flight) const;
    std::string recent_json() const;  // the last 50, newest first: id, to, body, bytes, at

private:
    struct Recent {
        std::string id;
        std::string body;  // empty when too large to keep
        std::size_t bytes = 0;
        core::WallTime at;
    };
    // Whether it came before; nullopt of what is beyond the limits.
    std::optional<bool> see(const std::string& id);

    std::vector<std::uint32_t> numbers_;  // by message number: a fingerprint of the first id that had it; 0 = none
    std::unordered_set<std::string> others_;
    std::size_t distinct_ = 0;
    std::deque<Recent> recent_;
    std::size_t received_ = 0;
    std::size_t duplicates_ = 0;
    std::optional<core::WallTime> first_at_;
    std::optional<core::WallTime> last_at_;
};

// The recipient in a webhook's body; nullopt when it is not the JSON that the service sends.
std::optional<std::string> recipient_of(std::string_view body);

}  // namespace messaging::commands
