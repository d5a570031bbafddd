// Settings of requests to receivers.
#include "app/request_options.h"

namespace messaging::app {

gateway::WebhookOptions webhook_options(const Config& config, const std::string& database_tag) {
    gateway::WebhookOptions options;
    options.timeout = config.request_timeout;
    options.webhook_url = config.webhook_url;
    options.auth_key = config.webhook_auth_key;
    options.database_tag = database_tag;
    return options;
}

http_client::ClientOptions client_options(const Config& config) {
    http_client::ClientOptions options;
    options.max_in_flight = static_cast<std::size_t>(config.max_in_flight);
    options.connect_timeout = config.connect_timeout;
    options.ca_file = config.ca_certificates;
    options.http2 = config.http2;
    options.addresses = config.address_policy;
    return options;
}

}  // namespace messaging::app
