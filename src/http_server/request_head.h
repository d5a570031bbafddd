// RequestHead: request line and headers, read before a body is.
#pragma once

#include <cstddef>
#include <string_view>

#include "core/result.h"
#include "http/message.h"

namespace messaging::http_server {

struct RequestHead {
    http::Request request;           // without body, peer and path parameters
    std::size_t content_length = 0;  // bytes
    bool chunked = false;            // the length of the body is not known
    bool has_body() const { return content_length > 0 || chunked; }
    bool may_have_body() const;  // evhttp takes the body of another method for the next request
};

// The length of a head at the beginning of `text`, its empty line included; 0 while it is not whole. `from`: where the
// search begins; the caller knows that no head ends before it.
std::size_t find_head_end(std::string_view text, std::size_t from);

// Strict (RFC 9112): what two readers could understand differently is refused, so that evhttp, which reads the same bytes later,
// never sees a body where this has seen none. The opposite is for the caller to refuse: a body where there may be none. kInvalid
// says what is wrong.
core::Result<RequestHead> parse_head(std::string_view head);

}  // namespace messaging::http_server
