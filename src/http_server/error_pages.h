// Refusals: the pages that evhttp writes by itself, replaced by the server's own answers before they leave.
#pragma once

#include <event2/bufferevent.h>

#include <functional>

#include "http/message.h"

namespace messaging::http_server {

// A whole answer as it goes over the wire, the last one of its connection.
std::string as_text(const http::Response& response);

// evhttp 2.1 answers what it cannot parse, and bodies over its own limit, with an HTML page, and asks nobody (its error
// callback came with 2.2). `refuse` is asked for the answer to each status instead; it must outlive the connection. To be
// called before anything is written to it.
void replace_error_pages(bufferevent* connection,
                         const std::function<http::Response(int status, const std::string& why)>& refuse);

}  // namespace messaging::http_server
