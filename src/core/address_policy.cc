// The addresses that are not public, with the source of each.
#include "core/address_policy.h"

#include <algorithm>
#include <cstdlib>

namespace messaging::core {
namespace {

struct Row {
    const char* network;
    const char* kind;
};

// IANA IPv4 Special-Purpose Address Registry (RFC 6890); the source of an entry stands beside it. The globally reachable
// addresses within 192.0.0.0/24 (192.0.0.9, 192.0.0.10) are anycast addresses of this side's own network: no receiver has one.
constexpr Row kNotPublicV4[] = {
    {"0.0.0.0/8", "an unspecified address"},                  // RFC 791, 3.2; Linux connects 0.0.0.0 to itself
    {"10.0.0.0/8", "a private address"},                      // RFC 1918
    {"100.64.0.0/10", "a shared address of a carrier"},       // RFC 6598
    {"127.0.0.0/8", "a loopback address"},                    // RFC 1122, 3.2.1.3
    {"168.63.129.16/32", "the address of Azure's host"},      // Microsoft's documentation: public space, answered by the host
    {"169.254.0.0/16", "a link-local address"},               // RFC 3927; metadata services of clouds
    {"172.16.0.0/12", "a private address"},                   // RFC 1918
    {"192.0.0.0/24", "an address of protocol assignments"},   // RFC 6890, 2.1
    {"192.0.2.0/24", "an address for documentation"},         // RFC 5737
    {"192.88.99.0/24", "an address of 6to4 relays"},          // RFC 7526, which deprecates it
    {"192.168.0.0/16", "a private address"},                  // RFC 1918
    {"198.18.0.0/15", "an address for benchmarks"},           // RFC 2544
    {"198.51.100.0/24", "an address for documentation"},      // RFC 5737
    {"203.0.113.0/24", "an address for documentation"},       // RFC 5737
    {"224.0.0.0/4", "a multicast address"},                   // RFC 5771
    {"255.255.255.255/32", "the limited broadcast address"},  // RFC 8190
    {"240.0.0.0/4", "a reserved address"},                    // RFC 1112, 4
};

// IANA IPv6 Special-Purpose Address Registry (RFC 6890), and the IPv6 address space: only 2000::/3 is assigned for global
// unicast (RFC 4291, 2.4), so the last rows refuse all else, with these names for the parts that have one. The globally reachable
// blocks within 2001::/23 are anycast addresses and identifiers of no receiver. The first row that fits names the address.
constexpr Row kNotPublicV6[] = {
    {"2001::/32", "a Teredo address"},                    // RFC 4380
    {"2001::/23", "an address of protocol assignments"},  // RFC 2928
    {"2001:db8::/32", "an address for documentation"},    // RFC 3849
    {"2002::/16", "a 6to4 address"},                      // RFC 3056, deprecated by RFC 7526; it leads to any IPv4 address
    {"3fff::/20", "an address for documentation"},        // RFC 9637
    {"::1/128", "a loopback address"},                    // RFC 4291, 2.5.3
    {"::/128", "an unspecified address"},                 // RFC 4291, 2.5.2; Linux connects it to itself
    {"::/96", "an IPv4-compatible address"},              // RFC 4291, 2.5.5.1, deprecated
    {"64:ff9b:1::/48", "an address of a local NAT64"},    // RFC 8215; where in it the IPv4 address is, only that network knows
    {"100::/64", "a discard-only address"},               // RFC 6666
    {"100:0:0:1::/64", "a dummy address"},                // RFC 9780
    {"5f00::/16", "an address of segment routing"},       // RFC 9602
    {"fc00::/7", "a private address"},                    // RFC 4193
    {"fe80::/10", "a link-local address"},                // RFC 4291, 2.5.6
    {"fec0::/10", "a site-local address"},                // RFC 3879, which deprecates it
    {"ff00::/8", "a multicast address"},                  // RFC 4291, 2.7
    {"::/3", "a reserved address"},                       // RFC 4291, 2.4: not assigned
    {"4000::/2", "a reserved address"},                   // the same
    {"8000::/1", "a reserved address"},                   // the same
};

constexpr const char* kNat64 = "64:ff9b::/96";  // RFC 6052, 2.1
constexpr std::size_t kNat64PrefixBytes = 12;

// Of the tables here only, whose texts are right: the unit test reads them all.
IpNetwork read(const char* text) {
    const auto network = IpNetwork::parse(text);
    if (!network) std::abort();
    return network.value();
}

struct NotPublic {
    IpNetwork network;
    const char* kind;
};

template <std::size_t count>
std::vector<NotPublic> read_rows(const Row (&rows)[count]) {
    std::vector<NotPublic> read_rows;
    for (const Row& row : rows) read_rows.push_back({read(row.network), row.kind});
    return read_rows;
}

// Null: it is public.
const char* kind_of(const IpAddress& address) {
    static const std::vector<NotPublic> v4 = read_rows(kNotPublicV4);
    static const std::vector<NotPublic> v6 = read_rows(kNotPublicV6);
    const auto& rows = address.is_ipv6() ? v6 : v4;
    const auto row = std::find_if(rows.begin(), rows.end(), [&](const NotPublic& one) { return one.network.contains(address); });
    return row == rows.end() ? nullptr : row->kind;
}

// Where a connection to the address ends.
IpAddress destination(const IpAddress& address) {
    static const IpNetwork nat64 = read(kNat64);
    if (!nat64.contains(address)) return address;
    IpAddress::V4 last{};
    std::copy(address.bytes().begin() + kNat64PrefixBytes, address.bytes().end(), last.begin());
    return IpAddress(last);
}

}  // namespace

bool AddressPolicy::allows(const IpAddress& address) const {
    return std::any_of(allowed_.begin(), allowed_.end(), [&](const IpNetwork& network) { return network.contains(address); });
}

std::optional<std::string> AddressPolicy::refusal(const IpAddress& address) const {
    const IpAddress judged = destination(address);
    const char* const kind = kind_of(judged);
    if (kind == nullptr || allows(judged) || allows(address)) return std::nullopt;
    const std::string subject =
        judged == address ? address.text() + " is " : address.text() + " leads to " + judged.text() + ", ";
    return subject + kind + "; allow it with ALLOWED_NETWORKS";
}

}  // namespace messaging::core
