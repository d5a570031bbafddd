// AddressPolicy: which addresses a request to an endpoint may be connected to; pure.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/ip_address.h"

namespace messaging::core {

// Any thread, once it is built. Whoever may create an endpoint chooses its URL. Without this policy the URL could make the
// service send requests to machines that only the service can reach: databases, metadata services of a cloud, itself.
class AddressPolicy {
public:
    AddressPolicy() = default;  // public addresses only
    explicit AddressPolicy(std::vector<IpNetwork> allowed) : allowed_(std::move(allowed)) {}

    // Why nothing may be connected to the address, as a sentence without its full stop: "10.0.0.5 is a private address; allow
    // it with ALLOWED_NETWORKS". nullopt = it may: it is public, or one of the allowed networks contains it.
    //
    // An address of the NAT64 network 64:ff9b::/96 leads to the IPv4 address in its last four bytes (RFC 6052), and is judged
    // as that one. So is an IPv4-mapped address, which IpAddress holds as IPv4.
    std::optional<std::string> refusal(const IpAddress& address) const;

private:
    bool allows(const IpAddress& address) const;

    std::vector<IpNetwork> allowed_;
};

}  // namespace messaging::core
