// Checks of webhook URLs before a request is made.
#pragma once

#include <string>

#include "core/address_policy.h"
#include "core/result.h"

namespace messaging::http_client {

// Checks a webhook URL: http or https, a host, no user info in it. kInvalid says what to do.
core::Result<core::Unit> check_url(const std::string& url);

// What check_url() checks, and that the host is no address that the policy refuses, in whatever notation curl and the system's
// resolver would read it, and no name that always means loopback (RFC 6761, 6.3). Any other name passes: its addresses can
// change, so they are judged when a request connects (core::AttemptFault::kForbidden). Looks nothing up.
core::Result<core::Unit> check_target(const std::string& url, const core::AddressPolicy& policy);

}  // namespace messaging::http_client
