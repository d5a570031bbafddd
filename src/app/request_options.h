// The settings of requests to receivers, of the engines and of the API alike.
#pragma once

#include <string>

#include "app/config.h"
#include "gateway/webhook_sender.h"
#include "http_client/client.h"

namespace messaging::app {

gateway::WebhookOptions webhook_options(const Config& config, const std::string& database_tag);
http_client::ClientOptions client_options(const Config& config);

}  // namespace messaging::app
