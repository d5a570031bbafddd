// SecretText: bytes that are overwritten before their memory is released.
#pragma once

#include <string.h>

#include <string_view>
#include <utility>
#include <vector>

namespace messaging::core {

class SecretText {
public:
    SecretText() = default;
    explicit SecretText(std::string_view bytes) : bytes_(bytes.begin(), bytes.end()) {}
    SecretText(const SecretText&) = default;
    SecretText(SecretText&&) noexcept = default;  // a vector hands its memory on, where a short std::string copies it
    SecretText& operator=(SecretText other) noexcept {
        bytes_.swap(other.bytes_);
        return *this;
    }
    ~SecretText() {
        if (!bytes_.empty()) explicit_bzero(bytes_.data(), bytes_.size());
    }

    std::string_view view() const { return {bytes_.data(), bytes_.size()}; }
    bool empty() const { return bytes_.empty(); }

private:
    std::vector<char> bytes_;
};

}  // namespace messaging::core
