// The target of a request line, taken apart into path and query.
#pragma once

#include <string_view>

#include "http/message.h"

namespace messaging::http_server {

// Sets path and query, percent-decoded; "+" is a space in the query only. Escapes that are not well-formed stay as they are.
void read_target(std::string_view target, http::Request& request);

}  // namespace messaging::http_server
