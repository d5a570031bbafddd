// The address policy against an independent implementation of the IANA registries: Python's ipaddress.
#include "core/address_policy.h"

#include <gtest/gtest.h>

#include <fstream>
#include <random>
#include <string>

#include "support/process.h"

namespace messaging::test {
namespace {

// Python's list differs with its version, and is_global answers another question than ours: whether packets to an address are
// forwarded. So both sides are explained: what only the policy refuses must be in one of these ranges, and what Python does not
// call global must be refused.
constexpr const char* kCompare = R"(
import ipaddress, sys
ONLY_OURS = [ipaddress.ip_network(text) for text in (
    "168.63.129.16/32",              # public space, but answered by the host of a virtual machine in Azure
    "192.0.0.0/24", "2001::/23",     # Python takes out of them the anycast addresses of one's own network
    "192.88.99.0/24",                # 6to4 relays, deprecated
    "224.0.0.0/4", "ff00::/8",       # multicast is forwarded, but a connection is to one machine
    "2002::/16", "64:ff9b:1::/48", "3fff::/20", "5f00::/16", "100:0:0:1::/64",  # newer than some versions of Python's list
    "::/3", "4000::/2", "8000::/1",  # outside of 2000::/3: Python lists only what is assigned to a purpose
)]
NAT64 = ipaddress.ip_network("64:ff9b::/96")
compared = 0
for line in open(sys.argv[1]):
    text, refused = line.split()
    address = judged = ipaddress.ip_address(text)
    if address.version == 6 and address in NAT64:
        judged = ipaddress.ip_address(int(address) & 0xffffffff)
    explained = any(judged in network for network in ONLY_OURS if network.version == judged.version)
    if (refused == "0" and not judged.is_global) or (refused == "1" and judged.is_global and not explained):
        print("differ:", text, "refused" if refused == "1" else "taken", "is_global:", judged.is_global)
    compared += 1
print("compared", compared)
)";

TEST(AddressPolicy, RefusesWhatPythonDoesNotCallGlobalAndNothingElseUnexplained) {
    constexpr int kSamples = 60'000;
    const TemporaryDirectory directory;
    const std::string samples = directory.path() + "/samples";
    const std::string script = directory.path() + "/compare.py";
    std::ofstream(script) << kCompare;
    std::mt19937 random(4711);  // NOLINT(cert-msc51-cpp): the same samples in each run
    const auto byte = [&] { return static_cast<std::uint8_t>(random() & 0xff); };
    // Uniform addresses would hardly ever be in a special range: these first bytes are theirs.
    const std::vector<std::vector<std::uint8_t>> v4_starts = {
        {},        {0},       {10},           {100, 64},     {100, 127},    {127},      {169, 254},
        {172, 16}, {172, 31}, {192, 0, 0},    {192, 0, 2},   {192, 88, 99}, {192, 168}, {198, 18},
        {198, 19}, {198, 51}, {198, 51, 100}, {203, 0, 113}, {224},         {240},      {255}};
    const std::vector<std::vector<std::uint8_t>> v6_starts = {{},
                                                              {0x20},
                                                              {0x20, 0x01},
                                                              {0x20, 0x01, 0},
                                                              {0x20, 0x01, 0, 0},
                                                              {0x20, 0x01, 0x0d, 0xb8},
                                                              {0x20, 0x02},
                                                              {0x3f, 0xff},
                                                              {0x3f, 0xff, 0},
                                                              {0x26},
                                                              {0x2a},
                                                              {0xfc},
                                                              {0xfd},
                                                              {0xfe, 0x80},
                                                              {0xfe, 0xc0},
                                                              {0xff},
                                                              {0x5f, 0},
                                                              {0x01, 0},
                                                              {0},
                                                              {0, 0x64, 0xff, 0x9b, 0, 1},
                                                              {0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0},
                                                              {0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, 10},
                                                              {0x01, 0, 0, 0, 0, 0, 0, 0},
                                                              {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}};
    const auto fill = [&](auto bytes, const auto& starts) {
        const auto& start = starts[random() % starts.size()];
        for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = i < start.size() ? start[i] : byte();
        return core::IpAddress(bytes);
    };
    {
        std::ofstream file(samples);
        for (int i = 0; i < kSamples; ++i) {
            const auto address = i % 2 == 0 ? fill(core::IpAddress::V4{}, v4_starts) : fill(core::IpAddress::V6{}, v6_starts);
            file << address.text() << ' ' << (core::AddressPolicy().refusal(address) ? 1 : 0) << '\n';
        }
    }
    ProcessOptions options;
    options.arguments = {"python3", script, samples};
    const CommandResult compared = run_command(options);
    EXPECT_EQ(compared.exit_code, 0);
    EXPECT_EQ(compared.output, "compared " + std::to_string(kSamples) + "\n");
}

}  // namespace
}  // namespace messaging::test
