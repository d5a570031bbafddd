// Settings of requests to receivers.
#include "app/request_options.h"

#include <sys/resource.h>

#include "http_client/shortage.h"

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
    rlimit descriptors{};
    if (getrlimit(RLIMIT_NOFILE, &descriptors) == 0) {
        const std::size_t multis = http_client::multis_for(options.max_in_flight) * static_cast<std::size_t>(config.engines);
        options.connections_of_a_multi =
            http_client::connections_to_keep(descriptors.rlim_cur, multis, http_client::kConnectionsOfAMulti);
    }
    options.connect_timeout = config.connect_timeout;
    options.ca_file = config.ca_certificates;
    options.http2 = config.http2;
    options.addresses = config.address_policy;
    return options;
}

}  // namespace messaging::app
