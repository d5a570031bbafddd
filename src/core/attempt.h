// AttemptResult: the result of one request to a receiver. core/outcome.h decides what it means for the message.
#pragma once

#include <array>
#include <chrono>
#include <optional>
#include <string>

namespace messaging::core {

// Why a request has no usable status. Each but kLocal counts as an attempt. A status is usable as soon as it has come: an answer
// that breaks off or outlasts the deadline behind it does not undo what was accepted.
enum class AttemptFault {
    kNone,            // the receiver answered with `status`
    kDns,             // the host's name was not resolved
    kConnect,         // refused, unreachable, reset while connecting
    kTls,             // no TLS, or a certificate that is not trusted
    kTimeout,         // the deadline passed
    kReset,           // the connection ended before the status arrived
    kProtocol,        // the answer is not HTTP
    kForbidden,       // the address policy refuses every address of the host: nothing was sent, and no connection opened
    kInvalidRequest,  // URL or header that cannot be sent
    kLocal,           // a fault of the service: no descriptors, no memory, shutting down
};
inline constexpr std::array kAttemptFaults{AttemptFault::kNone,     AttemptFault::kDns,       AttemptFault::kConnect,
                                           AttemptFault::kTls,      AttemptFault::kTimeout,   AttemptFault::kReset,
                                           AttemptFault::kProtocol, AttemptFault::kForbidden, AttemptFault::kInvalidRequest,
                                           AttemptFault::kLocal};

struct AttemptResult {
    AttemptFault fault = AttemptFault::kNone;
    std::string detail;  // readable reason when a fault
    int status = 0;
    std::optional<std::string> receiver_message_id;  // cleaned: UTF-8, no NUL, bounded
    std::string retry_after;                         // header as received, empty when absent
    std::string date;                                // the answer's own, as received; empty when absent or 2xx
    std::chrono::microseconds duration{0};
    int connections = 0;  // opened for this request; 0 = it used a kept one
    int repeats = 0;      // libcurl sends a request again, on another connection, when a kept one ends before the answer
};

}  // namespace messaging::core
