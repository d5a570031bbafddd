// Foreign requests: those that a page of another site makes a browser send.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/message.h"

namespace messaging::http_server {

// Why this request is taken for foreign, in words for its sender; nothing when it is not.
//   Sec-Fetch-Site   other than same-origin, same-site or none, except for a link that somebody follows to a page (GET,
//                    navigate, document)
//   Origin           of another host and port than the request is sent to, unless its host is one of `own_hosts`: a proxy may
//                    serve that name on any port
//   Host             with `check_host`: a name that is none of `own_hosts`. DNS rebinding leads a foreign name to this
//                    machine; addresses and localhost cannot be led anywhere, so they are always our own
// Programs that are no browsers send neither Origin nor Sec-Fetch-Site.
std::optional<std::string> why_foreign(const http::Request& request, const std::vector<std::string>& own_hosts, bool check_host);

}  // namespace messaging::http_server
