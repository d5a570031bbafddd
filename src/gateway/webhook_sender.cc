// The webhook request and the reading of its answer.
#include "gateway/webhook_sender.h"

#include <utility>

#include "core/json.h"
#include "core/text.h"
#include "core/webhook_id.h"

namespace messaging::gateway {
namespace {

constexpr core::JsonLimits kAnswerLimits{64u << 10, 16};

core::AttemptResult to_attempt(http_client::PostResult result) {
    core::AttemptResult attempt;
    attempt.duration = result.duration;
    attempt.detail = std::move(result.fault_detail);
    switch (result.fault) {
        case http_client::TransportFault::kNone:
            attempt.status = result.status;
            attempt.retry_after = std::move(result.retry_after);
            attempt.date = std::move(result.date);
            if (!result.body_truncated && result.status >= 200 && result.status <= 299) {
                attempt.receiver_message_id = receiver_message_id(result.body);
            }
            break;
        case http_client::TransportFault::kForbidden: attempt.fault = core::AttemptFault::kForbidden; break;
        case http_client::TransportFault::kLocal: attempt.fault = core::AttemptFault::kLocal; break;
        case http_client::TransportFault::kTimeout:
        case http_client::TransportFault::kConnect:
        case http_client::TransportFault::kDns:
        case http_client::TransportFault::kTls:
        case http_client::TransportFault::kProtocol:
        case http_client::TransportFault::kInvalidRequest: attempt.fault = core::AttemptFault::kRemote; break;
    }
    return attempt;
}

}  // namespace

std::string webhook_body(const core::Delivery& delivery) {
    core::JsonWriter json;
    json.begin_object();
    json.key("to").string(delivery.recipient);
    json.key("content").string(delivery.content);
    json.end_object();
    return std::string(json.text());
}

std::optional<std::string> receiver_message_id(std::string_view body) {
    const auto document = core::JsonDocument::parse(body, kAnswerLimits);
    if (!document || !document->root().is_object()) return std::nullopt;
    const auto id = document->root().member("messageId");
    if (!id || !(id->is_string() || id->is_number())) return std::nullopt;
    std::string text = core::clean_text(id->text(), kMaxReceiverMessageIdBytes);
    if (text.empty()) return std::nullopt;
    return text;
}

WebhookSender::WebhookSender(http_client::Client& client, const core::Clock& clock, WebhookOptions options)
    : client_(client), clock_(clock), options_(std::move(options)) {}

void WebhookSender::start_attempt(const core::Delivery& delivery, const core::Endpoint& endpoint,
                                  std::function<void(core::AttemptResult)> done) {
    const auto now = std::chrono::duration_cast<std::chrono::seconds>(clock_.wall().time_since_epoch());
    http_client::PostRequest request;
    request.url = endpoint.url;
    request.timeout = endpoint.timeout.value_or(options_.timeout);
    request.body = webhook_body(delivery);
    request.headers = endpoint.headers;
    request.headers.emplace_back("Content-Type", "application/json");
    request.headers.emplace_back("webhook-id", core::format_webhook_id(options_.database_tag, delivery.id, delivery.generation));
    request.headers.emplace_back("webhook-timestamp", std::to_string(now.count()));
    // Endpoint 1 can have another process's WEBHOOK_URL for a while; other endpoints bring headers of their own.
    const bool is_own_receiver = endpoint.id == core::kDefaultEndpointId && endpoint.url == options_.webhook_url;
    if (is_own_receiver && !options_.auth_key.empty()) request.headers.emplace_back("x-ins-auth-key", options_.auth_key);
    request.guarded = !is_own_receiver;  // the operator chose WEBHOOK_URL, and others chose all other URLs
    client_.start_post(std::move(request),
                       [done = std::move(done)](http_client::PostResult result) { done(to_attempt(std::move(result))); });
}

}  // namespace messaging::gateway
