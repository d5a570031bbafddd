// WebhookSender: a delivery as one HTTP POST to its endpoint; implements engine::Sender.
#pragma once

#include <chrono>
#include <string>

#include "core/clock.h"
#include "core/message.h"
#include "engine/sender.h"
#include "http/message.h"
#include "http_client/client.h"

namespace messaging::gateway {

inline constexpr std::size_t kMaxReceiverMessageIdBytes = 255;

struct WebhookOptions {
    std::chrono::milliseconds timeout{10000};  // of one request
    std::string webhook_url;   // of this process; the default endpoint while it has this URL is the operator's own receiver
    std::string auth_key;      // x-ins-auth-key for the operator's own receiver; empty = not sent
    std::string database_tag;  // of messaging._database
};

// Loop thread only. The client must outlive it.
class WebhookSender : public engine::Sender {
public:
    WebhookSender(http_client::Client& client, const core::Clock& clock, WebhookOptions options);

    void start_attempt(const core::Delivery& delivery, const core::Endpoint& endpoint,
                       std::function<void(core::AttemptResult)> done) override;

private:
    http_client::Client& client_;
    const core::Clock& clock_;
    WebhookOptions options_;
};

// {"to": recipient, "content": content}
std::string webhook_body(const core::Delivery& delivery);
// The endpoint's own headers without those that the service writes (http/reserved_headers.h), and the service's. `body` is signed
// as it is sent.
http::Headers webhook_headers(const std::string& id, const core::Endpoint& endpoint, const WebhookOptions& options,
                              core::WallTime now, std::string_view body);
// The request with that webhook-id and body.
http_client::PostRequest webhook_request(const std::string& id, const core::Endpoint& endpoint, const WebhookOptions& options,
                                         core::WallTime now, std::string body);
core::AttemptResult to_attempt(http_client::PostResult result);
// The messageId of a receiver's answer as text: a string, or a number as it was written. nullopt when the answer is not a
// JSON object that has one; never an error, because the status alone decides.
std::optional<std::string> receiver_message_id(std::string_view body);

}  // namespace messaging::gateway
