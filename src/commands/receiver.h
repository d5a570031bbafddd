// The subcommand `messaging receiver`: a webhook receiver for demonstrations and tests.
#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace messaging::commands {

struct ReceiverOptions {
    std::string address = "127.0.0.1";
    int port = 9090;  // 0 = any free one, printed
    int status = 200;
    std::chrono::milliseconds delay{0};
    double failure_rate = 0;                          // this share is answered 500
    std::optional<std::chrono::seconds> retry_after;  // sent with every answer that is not 2xx
    bool hang = false;                                // no answer, until long after any client has given up
    bool quiet = false;                               // no line per request
};

// POST to any path counts the webhook-id and answers {"message":"Accepted","messageId":…}. The query of the URL overrides:
// ?status=503&delay=200ms&retry_after=2&hang=1&fail=0.3, so that one receiver serves many endpoints.
// GET /stats: received, distinct, duplicates, first_at, last_at, in_flight; GET /recent: the last 50; POST /reset.
// Ends on SIGTERM or SIGINT. Exit status: 0; 1 when it cannot listen.
int run_receiver(const ReceiverOptions& options);

}  // namespace messaging::commands
