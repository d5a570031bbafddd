// The meter is attached to the connection's BIO, whose callback OpenSSL calls before and after each read.
#include "http_client/input_meter.h"

#include <openssl/bio.h>

#include <memory>

#include "http_client/sockets.h"

namespace messaging::http_client {
namespace {

constexpr std::size_t kMaxIdleBytes = 64u << 10;

using Owner = std::shared_ptr<InputMeter>;

void drop(void*, void* owner, CRYPTO_EX_DATA*, int, long, void*) noexcept { delete static_cast<Owner*>(owner); }

int slot() {
    static const int index = BIO_get_ex_new_index(0, nullptr, nullptr, nullptr, &drop);
    return index;
}

Owner* owner_of(BIO* bio) { return static_cast<Owner*>(BIO_get_ex_data(bio, slot())); }

// Says how a read goes on: a result above 0 lets it be made, and after it is its result.
long on_bio(BIO* bio, int operation, const char*, std::size_t, int, long, int result, std::size_t* processed) noexcept {
    if ((operation & ~BIO_CB_RETURN) != BIO_CB_READ) return result;
    const Owner* const owner = owner_of(bio);
    if (owner == nullptr) return result;
    InputMeter& meter = **owner;
    if ((operation & BIO_CB_RETURN) != 0) {
        if (result > 0 && processed != nullptr) meter.on_read(*processed);
        return result;
    }
    if (meter.is_flooded()) return 0;  // the end
    if (meter.may_read()) return result;
    BIO_set_retry_read(bio);
    return -1;
}

}  // namespace

std::shared_ptr<InputMeter> InputMeter::of(SSL* tls) {
    BIO* const bio = SSL_get_rbio(tls);
    if (bio == nullptr) return nullptr;
    if (const Owner* const owner = owner_of(bio)) return *owner;
    auto owner = std::make_unique<Owner>(std::make_shared<InputMeter>());
    if (BIO_set_ex_data(bio, slot(), owner.get()) != 1) return nullptr;
    BIO_set_callback_ex(bio, &on_bio);
    return *owner.release();
}

bool InputMeter::may_read() const { return turn_bytes_ < kMaxReadBytes; }

bool InputMeter::is_flooded() const { return idle_bytes_ > kMaxIdleBytes; }

void InputMeter::on_read(std::size_t bytes) {
    turn_bytes_ += bytes;
    idle_bytes_ += bytes;
}

}  // namespace messaging::http_client
