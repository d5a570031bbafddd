// WebhookSender: a delivery as one HTTP POST to its endpoint; implements engine::Sender.
#pragma once

#include <chrono>
#include <string>

#include "core/clock.h"
#include "engine/sender.h"
#include "http_client/client.h"

namespace messaging::gateway {

inline constexpr std::size_t kMaxReceiverMessageIdBytes = 255;

struct WebhookOptions {
    std::chrono::milliseconds timeout{10000};  // of one request
    std::string auth_key;      // x-ins-auth-key for the default endpoint while its URL is auth_key_url; empty = not sent
    std::string auth_key_url;  // the receiver that the key belongs to
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
// "msg_<database tag>_<id>_<salt>": the same on every attempt and when the message is sent again, without a full stop (Standard
// Webhooks). The tag tells databases apart, the salt (from the message's generation) messages that were given the same id, after
// a failover or a restore. SQL has the same as messaging.webhook_id(id).
std::string webhook_id(const std::string& database_tag, const core::Delivery& delivery);
// The messageId of a receiver's answer as text: a string, or a number as it was written. nullopt when the answer is not a
// JSON object that has one; never an error, because the status alone decides.
std::optional<std::string> receiver_message_id(std::string_view body);

}  // namespace messaging::gateway
