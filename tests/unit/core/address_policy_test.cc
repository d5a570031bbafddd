// Every range that is not public, at its edges; the forms that hide an IPv4 address; what ALLOWED_NETWORKS opens.
#include "core/address_policy.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <string>
#include <vector>

namespace messaging::core {
namespace {

IpAddress address(const std::string& text) {
    const auto parsed = IpAddress::parse(text);
    EXPECT_TRUE(parsed) << text;
    return parsed.value_or(IpAddress(IpAddress::V4{}));
}

AddressPolicy allowing(const std::string& networks) {
    const auto parsed = parse_networks(networks);
    EXPECT_TRUE(parsed.ok()) << networks;
    return parsed ? AddressPolicy(parsed.value()) : AddressPolicy();
}

std::string refusal(const std::string& text, const AddressPolicy& policy = {}) {
    return policy.refusal(address(text)).value_or("");
}

struct Range {
    const char* kind;
    const char* first;
    const char* last;
    const char* before = nullptr;  // public; null where the neighbour is not
    const char* behind = nullptr;
};

// Written from the registries, not from the source: it is what the source is held against.
const Range kRanges[] = {
    {"an unspecified address", "0.0.0.0", "0.255.255.255", nullptr, "1.0.0.0"},
    {"a private address", "10.0.0.0", "10.255.255.255", "9.255.255.255", "11.0.0.0"},
    {"a shared address of a carrier", "100.64.0.0", "100.127.255.255", "100.63.255.255", "100.128.0.0"},
    {"a loopback address", "127.0.0.0", "127.255.255.255", "126.255.255.255", "128.0.0.0"},
    {"the address of Azure's host", "168.63.129.16", "168.63.129.16", "168.63.129.15", "168.63.129.17"},
    {"a link-local address", "169.254.0.0", "169.254.255.255", "169.253.255.255", "169.255.0.0"},
    {"a private address", "172.16.0.0", "172.31.255.255", "172.15.255.255", "172.32.0.0"},
    {"an address of protocol assignments", "192.0.0.0", "192.0.0.255", "191.255.255.255", "192.0.1.0"},
    {"an address for documentation", "192.0.2.0", "192.0.2.255", "192.0.1.255", "192.0.3.0"},
    {"an address of 6to4 relays", "192.88.99.0", "192.88.99.255", "192.88.98.255", "192.88.100.0"},
    {"a private address", "192.168.0.0", "192.168.255.255", "192.167.255.255", "192.169.0.0"},
    {"an address for benchmarks", "198.18.0.0", "198.19.255.255", "198.17.255.255", "198.20.0.0"},
    {"an address for documentation", "198.51.100.0", "198.51.100.255", "198.51.99.255", "198.51.101.0"},
    {"an address for documentation", "203.0.113.0", "203.0.113.255", "203.0.112.255", "203.0.114.0"},
    {"a multicast address", "224.0.0.0", "239.255.255.255", "223.255.255.255", nullptr},
    {"a reserved address", "240.0.0.0", "255.255.255.254"},
    {"the limited broadcast address", "255.255.255.255", "255.255.255.255"},
    {"an unspecified address", "::", "::"},
    {"a loopback address", "::1", "::1"},
    {"an IPv4-compatible address", "::2", "::ffff:ffff"},
    {"a reserved address", "::1:0:0", "::fffe:ffff:ffff"},
    {"a reserved address", "::1:0:0:0", "64:ff9b::ffff:ffff:ffff:ffff"},
    {"an address of a local NAT64", "64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff"},
    {"a discard-only address", "100::", "100::ffff:ffff:ffff:ffff"},
    {"a dummy address", "100:0:0:1::", "100::1:ffff:ffff:ffff:ffff"},
    {"a reserved address", "100:0:0:2::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", nullptr, "2000::"},
    {"a Teredo address", "2001::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff", "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", nullptr},
    {"an address of protocol assignments", "2001:1::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", nullptr, "2001:200::"},
    {"an address for documentation", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
     "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::"},
    {"a 6to4 address", "2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2003::"},
    {"an address for documentation", "3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
     "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:1000::"},
    {"a reserved address", "4000::", "5eff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
     nullptr},
    {"an address of segment routing", "5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
    {"a reserved address", "5f01::", "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
    {"a private address", "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
    {"a reserved address", "fe00::", "fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
    {"a link-local address", "fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
    {"a site-local address", "fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
    {"a multicast address", "ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
};

TEST(AddressPolicy, RefusesEachRangeFromItsFirstToItsLastAddress) {
    for (const Range& range : kRanges) {
        for (const char* edge : {range.first, range.last}) {
            EXPECT_EQ(refusal(edge), std::string(edge) + " is " + range.kind + "; allow it with ALLOWED_NETWORKS");
        }
        for (const char* neighbour : {range.before, range.behind}) {
            if (neighbour == nullptr) continue;
            EXPECT_EQ(refusal(neighbour), "") << "beside " << range.first;
        }
    }
}

TEST(AddressPolicy, TakesPublicAddresses) {
    for (const char* open : {"1.1.1.1", "8.8.8.8", "93.184.215.14", "192.31.196.1", "192.52.193.1", "192.175.48.1",
                             "223.255.255.255", "2606:4700::1111", "2a00:1450:4001::200e", "2620:4f:8000::1"}) {
        EXPECT_EQ(refusal(open), "");
    }
}

TEST(AddressPolicy, JudgesAMappedAddressAsTheIPv4One) {
    EXPECT_EQ(refusal("::ffff:10.0.0.5"), "10.0.0.5 is a private address; allow it with ALLOWED_NETWORKS");
    EXPECT_EQ(refusal("::ffff:7f00:1"), "127.0.0.1 is a loopback address; allow it with ALLOWED_NETWORKS");
    EXPECT_EQ(refusal("::ffff:8.8.8.8"), "");
    EXPECT_EQ(refusal("::ffff:10.0.0.5", allowing("10.0.0.0/8")), "");
    EXPECT_EQ(refusal("10.0.0.5", allowing("::ffff:10.0.0.0/104")), "");
}

TEST(AddressPolicy, JudgesANat64AddressByWhereItLeads) {
    EXPECT_EQ(refusal("64:ff9b::10.0.0.5"),
              "64:ff9b::a00:5 leads to 10.0.0.5, a private address; allow it with ALLOWED_NETWORKS");
    EXPECT_EQ(refusal("64:ff9b::169.254.169.254"),
              "64:ff9b::a9fe:a9fe leads to 169.254.169.254, a link-local address; allow it with ALLOWED_NETWORKS");
    EXPECT_EQ(refusal("64:ff9b::8.8.8.8"), "");
    EXPECT_EQ(refusal("64:ff9b::10.0.0.5", allowing("10.0.0.0/8")), "");
    EXPECT_EQ(refusal("64:ff9b::10.0.0.5", allowing("64:ff9b::/96")), "");
    EXPECT_NE(refusal("64:ff9b:1::8.8.8.8"), "") << "where it leads, only the network that translates it knows";
}

TEST(AddressPolicy, RefusesTunnelsWhereverTheyLead) {
    for (const char* tunnel : {"2002:a00:5::1", "2002:808:808::1", "2001:0:808:808::1", "::8.8.8.8", "::127.0.0.1"}) {
        EXPECT_NE(refusal(tunnel), "") << tunnel;
        EXPECT_NE(refusal(tunnel, allowing("10.0.0.0/8,127.0.0.0/8,8.8.8.8")), "") << tunnel;
    }
    EXPECT_EQ(refusal("2002:a00:5::1", allowing("2002:a00::/24")), "");
}

TEST(AddressPolicy, OpensWhatIsAllowedAndNothingBesideIt) {
    const AddressPolicy policy = allowing("10.1.0.0/16, fd12:3456::/32,192.168.7.9,::1");
    for (const char* open : {"10.1.0.0", "10.1.255.255", "fd12:3456::1", "192.168.7.9", "::1", "8.8.8.8", "2606:4700::1111"}) {
        EXPECT_EQ(refusal(open, policy), "");
    }
    for (const char* closed :
         {"10.0.255.255", "10.2.0.0", "fd12:3457::1", "fd12:3455:ffff::1", "192.168.7.8", "::2", "127.0.0.1"}) {
        EXPECT_NE(refusal(closed, policy), "") << closed;
    }
}

// One who opens all of IPv6 has not asked for 10.0.0.5.
TEST(AddressPolicy, ANetworkOfIPv6OpensNoIPv4Address) {
    EXPECT_EQ(refusal("fd00::1", allowing("::/0")), "");
    EXPECT_NE(refusal("10.0.0.5", allowing("::/0")), "");
    EXPECT_NE(refusal("::ffff:10.0.0.5", allowing("::/0")), "");
    EXPECT_EQ(refusal("10.0.0.5", allowing("0.0.0.0/0")), "");
    EXPECT_NE(refusal("fd00::1", allowing("0.0.0.0/0")), "");
}

RC_GTEST_PROP(AddressPolicy, AllowingANetworkOpensExactlyItsAddresses, (IpAddress::V6 bytes, IpAddress::V6 other, int bits)) {
    const int prefix = std::abs(bits % 129);
    other[0] = *rc::gen::arbitrary<bool>() ? bytes[0] : other[0];
    IpAddress::V6 base = bytes;
    for (int bit = prefix; bit < 128; ++bit) {
        auto& byte = base[static_cast<std::size_t>(bit / 8)];
        byte = static_cast<std::uint8_t>(byte & ~(0x80 >> bit % 8));
    }
    RC_PRE(IpAddress(base).is_ipv6() && IpAddress(other).is_ipv6());
    const AddressPolicy policy({IpNetwork{IpAddress(base), prefix}});
    bool inside = true;
    for (int bit = 0; bit < prefix; ++bit) {
        const auto at = static_cast<std::size_t>(bit / 8);
        inside = inside && ((other[at] ^ bytes[at]) & (0x80 >> bit % 8)) == 0;
    }
    const bool is_public = !AddressPolicy().refusal(IpAddress(other));
    RC_ASSERT(!policy.refusal(IpAddress(other)) == (is_public || inside));
}

}  // namespace
}  // namespace messaging::core
