// Counts the handshake messages of a connection.
#include "http_client/tls_session.h"

#include <cstdint>

namespace messaging::http_client {
namespace {

constexpr std::size_t kMaxHandshakeMessages = 1000;  // that a TLS connection receives, key updates and tickets included

// Counts the handshake messages that a connection receives, in a slot of the connection's own.
void on_tls_message(int is_sent, int, int type, const void*, std::size_t, SSL* tls, void*) noexcept {
    static const int slot = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
    if (is_sent != 0 || type != SSL3_RT_HANDSHAKE) return;
    const auto count = reinterpret_cast<std::uintptr_t>(SSL_get_ex_data(tls, slot)) + 1;
    SSL_set_ex_data(tls, slot, reinterpret_cast<void*>(count));  // NOLINT(performance-no-int-to-ptr): nobody follows it
    if (count == kMaxHandshakeMessages) SSL_set0_rbio(tls, BIO_new(BIO_s_null()));
}

}  // namespace

// OpenSSL reads on, in one call, while what it reads is no data and more has arrived: a receiver could keep the thread there for
// ever. Without SSL_MODE_AUTO_RETRY a read returns after each message behind the handshake. The handshake itself skips
// HelloRequests (RFC 5246, 7.4.1.1) in one call. So the messages are counted, and a connection that has received too many reads
// an end of file.
void limit_tls_messages(SSL_CTX* context) noexcept {
    SSL_CTX_clear_mode(context, SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_msg_callback(context, &on_tls_message);
}

bool is_http2(const SSL* tls) {
    const unsigned char* protocol = nullptr;
    unsigned int length = 0;
    if (tls != nullptr) SSL_get0_alpn_selected(tls, &protocol, &length);
    return length == 2 && protocol[0] == 'h' && protocol[1] == '2';
}

}  // namespace messaging::http_client
