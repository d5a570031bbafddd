// What OpenSSL tells of curl's TLS connections, and the limit of what a receiver may send in them.
#pragma once

#include <openssl/ssl.h>

namespace messaging::http_client {

// Limits what a receiver can make OpenSSL read in one call: see the reasons in tls_session.cc. For a context that curl has just
// made.
void limit_tls_messages(SSL_CTX* context) noexcept;

// Whether the connection speaks HTTP/2 (ALPN, RFC 7301). Null: a plain connection, which does not.
bool is_http2(const SSL* tls);

}  // namespace messaging::http_client
