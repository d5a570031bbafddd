// AttemptResult: the result of one request to a receiver. core/outcome.h decides what it means for the message.
#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace messaging::core {

enum class AttemptFault {
    kNone,       // the receiver answered with `status`
    kRemote,     // no answer, or none that is HTTP: counts as an attempt
    kForbidden,  // the endpoint's address is not public and not allowed, so nothing was sent: counts as an attempt
    kLocal,      // our own fault (no descriptors, shutting down): never counts
};

struct AttemptResult {
    AttemptFault fault = AttemptFault::kNone;
    std::string detail;  // readable reason when a fault
    int status = 0;
    std::optional<std::string> receiver_message_id;  // cleaned: UTF-8, no NUL, bounded
    std::string retry_after;                         // header as received, empty when absent
    std::string date;                                // the answer's own, as received; empty when absent or 2xx
    std::chrono::microseconds duration{0};
};

}  // namespace messaging::core
