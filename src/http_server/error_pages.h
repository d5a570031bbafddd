// Replaces the error pages that evhttp writes by itself with the server's own responses.
#pragma once

#include <event2/bufferevent.h>

#include <functional>

#include "http/message.h"

namespace messaging::http_server {

// A response with an error status as text for the wire, the last one of its connection. The reason phrase is always "Refused".
std::string error_response_text(const http::Response& response);

// evhttp 2.1 answers a request that it cannot parse, or whose body is over its limit, with an HTML page (its error callback came
// with 2.2). This function replaces the page with the response of `default_response` to the same status. `default_response` must
// outlive the connection. Call it before anything is written to the connection.
void replace_error_pages(bufferevent* connection,
                         const std::function<http::Response(int status, const std::string& why)>& default_response);

}  // namespace messaging::http_server
