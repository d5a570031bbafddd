// Addresses and networks, read and written.
#include "core/ip_address.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace messaging::core {
namespace {

std::string text_of(const std::string& text) {
    const auto address = IpAddress::parse(text);
    return address ? address->text() : "refused";
}

std::string network_of(const std::string& text) {
    const auto network = IpNetwork::parse(text);
    return network ? network->text() : network.error().message;
}

TEST(IpAddress, WritesWhatItReadsInOneForm) {
    const std::vector<std::pair<std::string, std::string>> cases = {
        {"127.0.0.1", "127.0.0.1"},
        {"255.255.255.255", "255.255.255.255"},
        {"::", "::"},
        {"::1", "::1"},
        {"1::", "1::"},
        {"2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
        {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
        {"1:0:0:2:0:0:0:3", "1:0:0:2::3"},
        {"::ffff:10.0.0.5", "10.0.0.5"},
        {"0:0:0:0:0:ffff:a00:5", "10.0.0.5"},
        {"64:ff9b::10.0.0.5", "64:ff9b::a00:5"},
        {"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"},
        {"::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"},
    };
    for (const auto& [text, expected] : cases) EXPECT_EQ(text_of(text), expected) << text;
}

TEST(IpAddress, RefusesWhatReadersDisagreeAbout) {
    for (const char* text : {"",
                             ".",
                             "1",
                             "1.2.3",
                             "1.2.3.4.5",
                             "01.2.3.4",
                             "0x7f.0.0.1",
                             "256.1.1.1",
                             "1.2.3.4 ",
                             " 1.2.3.4",
                             "+1.2.3.4",
                             "1.2.3.-4",
                             ":",
                             ":::",
                             "1:::2",
                             "1::2::3",
                             "1:2:3:4:5:6:7",
                             "1:2:3:4:5:6:7:8:9",
                             "1:2:3:4:5:6:7::8",
                             "12345::",
                             "g::",
                             "[::1]",
                             "fe80::1%eth0",
                             "::1.2.3",
                             "1.2.3.4::",
                             "::1.2.3.4:5",
                             "1:",
                             ":1",
                             "::1:"}) {
        EXPECT_EQ(text_of(text), "refused") << '"' << text << '"';
    }
}

RC_GTEST_PROP(IpAddress, ReadsAndWritesIPv6AsTheSystemDoes, (IpAddress::V6 bytes)) {
    for (auto& byte : bytes) {
        if (*rc::gen::inRange(0, 2) == 0) byte = 0;  // runs of zeros
    }
    char text[INET6_ADDRSTRLEN] = {};
    inet_ntop(AF_INET6, bytes.data(), text, sizeof text);
    const auto read = IpAddress::parse(text);
    RC_ASSERT(read.has_value());
    RC_ASSERT(*read == IpAddress(bytes));
    RC_ASSERT(IpAddress::parse(read->text()) == read);
}

TEST(IpNetwork, ReadsNetworksAndSingleAddresses) {
    const std::vector<std::pair<std::string, std::string>> cases = {
        {"10.0.0.0/8", "10.0.0.0/8"},
        {"10.0.0.5", "10.0.0.5/32"},
        {"0.0.0.0/0", "0.0.0.0/0"},
        {"fd00::/8", "fd00::/8"},
        {"::1", "::1/128"},
        {"::/0", "::/0"},
        {"::ffff:10.0.0.0/104", "10.0.0.0/8"},
        {"10.0.0.5/32", "10.0.0.5/32"},
        {"172.16.0.0/12", "172.16.0.0/12"},
    };
    for (const auto& [text, expected] : cases) EXPECT_EQ(network_of(text), expected) << text;
}

TEST(IpNetwork, SaysWhatIsWrong) {
    const std::string begin = "must be networks separated by commas, such as 10.0.0.0/8,fd00::/8; ";
    const std::vector<std::pair<std::string, std::string>> cases = {
        {"", "\"\" has no IPv4 or IPv6 address before its prefix"},
        {"intern", "\"intern\" has no IPv4 or IPv6 address before its prefix"},
        {"10/8", "\"10/8\" has no IPv4 or IPv6 address before its prefix"},
        {"10.0.0.0/33", "\"10.0.0.0/33\" needs a prefix from 0 to 32"},
        {"10.0.0.0/", "\"10.0.0.0/\" needs a prefix from 0 to 32"},
        {"10.0.0.0/-1", "\"10.0.0.0/-1\" needs a prefix from 0 to 32"},
        {"10.0.0.0/8/8", "\"10.0.0.0/8/8\" needs a prefix from 0 to 32"},
        {"fd00::/129", "\"fd00::/129\" needs a prefix from 0 to 128"},
        {"::ffff:10.0.0.0/8", "\"::ffff:10.0.0.0/8\" needs a prefix from 96 to 128"},
        {"10.0.0.5/8", "\"10.0.0.5/8\" has bits set behind its prefix: write 10.0.0.0/8"},
        {"172.17.0.0/12", "\"172.17.0.0/12\" has bits set behind its prefix: write 172.16.0.0/12"},
        {"fd00::1/8", "\"fd00::1/8\" has bits set behind its prefix: write fd00::/8"},
    };
    for (const auto& [text, expected] : cases) EXPECT_EQ(network_of(text), begin + expected) << text;
}

TEST(IpNetwork, ReadsAList) {
    const auto list = parse_networks(" 10.0.0.0/8 ,fd00::/8,  ::1");
    ASSERT_TRUE(list.ok());
    ASSERT_EQ(list->size(), 3u);
    EXPECT_EQ(list.value()[2].text(), "::1/128");
    for (const char* none : {"", "  "}) EXPECT_TRUE(parse_networks(none).ok() && parse_networks(none)->empty());
    for (const char* wrong : {",", "10.0.0.0/8,", ",::1", "::1,,::1", "::1;::1"})
        EXPECT_FALSE(parse_networks(wrong).ok()) << wrong;
}

}  // namespace
}  // namespace messaging::core
