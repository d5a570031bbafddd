// IpAddress and IpNetwork: addresses and ranges of addresses as values, read from text and written as text.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace messaging::core {

// An IPv4-mapped IPv6 address (::ffff:a.b.c.d, RFC 4291, 2.5.5.2) is held as the IPv4 address: both reach the same machine.
class IpAddress {
public:
    using V4 = std::array<std::uint8_t, 4>;
    using V6 = std::array<std::uint8_t, 16>;

    // In network byte order.
    explicit IpAddress(const V4& bytes);
    explicit IpAddress(const V6& bytes);
    // "10.0.0.5", "2001:db8::1", "::ffff:10.0.0.5": the forms of inet_pton, and no others; no zone, no brackets.
    static std::optional<IpAddress> parse(std::string_view text);

    bool is_ipv6() const { return is_ipv6_; }
    // An IPv4 address has the first four.
    const V6& bytes() const { return bytes_; }
    // RFC 5952: lower case, the longest run of zeros shortened.
    std::string text() const;

    friend bool operator==(const IpAddress&, const IpAddress&) = default;

private:
    bool is_ipv6_;
    V6 bytes_{};
};

// All addresses of one family that begin with the same bits.
struct IpNetwork {
    IpAddress base;
    int prefix_bits;

    bool contains(const IpAddress& address) const;
    std::string text() const;
    // "10.0.0.0/8", "fd00::/8", or an address alone. Bits behind the prefix must be 0, so that no typing error opens more than
    // was meant. The error is a sentence that quotes the text.
    static Result<IpNetwork> parse(std::string_view text);
};

// Networks separated by commas, with or without blanks; an empty text has none.
Result<std::vector<IpNetwork>> parse_networks(std::string_view text);

}  // namespace messaging::core
