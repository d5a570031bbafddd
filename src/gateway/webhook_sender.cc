// Makes the webhook request, and reads its answer.
#include "gateway/webhook_sender.h"

#include <utility>

#include "core/json.h"
#include "core/outcome.h"
#include "core/text.h"
#include "core/webhook_id.h"
#include "http/reserved_headers.h"
#include "http/text.h"

namespace messaging::gateway {
namespace {

constexpr core::JsonLimits kAnswerLimits{64u << 10, 16};
constexpr const char* kAuthKey = "x-ins-auth-key";

// The receiver at this process's WEBHOOK_URL. Endpoint 1 can have another process's WEBHOOK_URL for a while.
bool is_own_receiver(const core::Endpoint& endpoint, const WebhookOptions& options) {
    return endpoint.id == core::kDefaultEndpointId && endpoint.url == options.webhook_url;
}

}  // namespace

core::AttemptResult to_attempt(http_client::PostResult result) {
    core::AttemptResult attempt;
    attempt.duration = result.duration;
    attempt.detail = std::move(result.fault_detail);
    attempt.connections = result.connections;
    attempt.repeats = result.repeats;
    attempt.fault = result.fault;
    if (result.fault != core::AttemptFault::kNone) return attempt;
    attempt.status = result.status;
    attempt.retry_after = std::move(result.retry_after);
    attempt.date = std::move(result.date);
    if (!result.body_truncated && core::is_delivered(attempt)) attempt.receiver_message_id = receiver_message_id(result.body);
    return attempt;
}

std::string webhook_body(const core::Delivery& delivery) {
    if (delivery.is_event) return delivery.content;
    core::JsonWriter json;
    json.begin_object();
    json.key("to").string(delivery.recipient);
    json.key("content").string(delivery.content);
    json.end_object();
    return std::string(json.text());
}

http::Headers webhook_headers(const std::string& id, const core::Endpoint& endpoint, const WebhookOptions& options,
                              core::WallTime now, std::string_view body) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch());
    const std::string timestamp = std::to_string(seconds.count());
    const bool with_key = is_own_receiver(endpoint, options) && !options.auth_key.empty();
    http::Headers headers;
    for (const auto& header : endpoint.headers) {
        const bool is_key = with_key && http::equal_ignoring_case(header.first, kAuthKey);
        if (!is_key && http::kind_of_header(header.first) != http::HeaderKind::kOurs) headers.push_back(header);
    }
    headers.emplace_back("Content-Type", "application/json");
    headers.emplace_back("webhook-id", id);
    headers.emplace_back("webhook-timestamp", timestamp);
    std::string signatures;
    for (const core::ValidSigner& valid : endpoint.signers) {
        if (valid.expires_at && *valid.expires_at <= now) continue;
        if (!signatures.empty()) signatures += ' ';
        signatures += valid.signer->sign(id, timestamp, body);
    }
    if (!signatures.empty()) headers.emplace_back("webhook-signature", std::move(signatures));
    if (with_key) headers.emplace_back(kAuthKey, options.auth_key);
    return headers;
}

http_client::PostRequest webhook_request(const std::string& id, const core::Endpoint& endpoint, const WebhookOptions& options,
                                         core::WallTime now, std::string body) {
    http_client::PostRequest request;
    request.url = endpoint.url;
    request.timeout = endpoint.timeout.value_or(options.timeout);
    request.body = std::move(body);
    request.headers = webhook_headers(id, endpoint, options, now, request.body);
    request.guarded = !is_own_receiver(endpoint, options);  // the operator chose WEBHOOK_URL, and others chose all other URLs
    return request;
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
    const std::string id = core::format_webhook_id(options_.database_tag, delivery.id, delivery.generation);
    auto request = webhook_request(id, endpoint, options_, clock_.wall(), webhook_body(delivery));
    client_.start_post(std::move(request),
                       [done = std::move(done)](http_client::PostResult result) { done(to_attempt(std::move(result))); });
}

}  // namespace messaging::gateway
