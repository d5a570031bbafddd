// InputMeter: limits what the receiver at the other end of an HTTP/2 connection can have curl read.
#pragma once

#include <openssl/ssl.h>

#include <cstddef>
#include <memory>

namespace messaging::http_client {

// Loop thread only.
//
// Frames of HTTP/2 that belong to no answer (pings, settings, empty data and others) never reach curl's callbacks, and curl
// reads up to a hundred TLS records in one call. So the bytes are counted below TLS: a turn of the loop reads a limited part of
// the bytes that have arrived. When too many bytes that belong to no answer have come, curl reads an end of file, and the
// connection ends.
class InputMeter {
public:
    // The meter of a connection that speaks HTTP/2; made by the first call. Null without memory.
    static std::shared_ptr<InputMeter> of(SSL* tls);

    // The loop has found the connection readable.
    void begin_turn() { turn_bytes_ = 0; }
    // The final status of an answer has arrived.
    void on_answer() { idle_bytes_ = 0; }
    // So much of an answer, headers or body, has arrived.
    void on_part(std::size_t bytes) { idle_bytes_ -= idle_bytes_ < 2 * bytes ? idle_bytes_ : 2 * bytes; }  // with its framing

    bool may_read() const;
    bool is_flooded() const;
    void on_read(std::size_t bytes);

private:
    std::size_t turn_bytes_ = 0;
    std::size_t idle_bytes_ = 0;  // that belong to no answer, since the last answer
};

}  // namespace messaging::http_client
