// Reads and writes the text of addresses and networks.
#include "core/ip_address.h"

#include <algorithm>
#include <charconv>

#include "core/number.h"
#include "core/text.h"

namespace messaging::core {
namespace {

constexpr std::size_t kGroups = 8;  // of an IPv6 address, two bytes each
constexpr int kMappedPrefixBits = 96;
constexpr IpAddress::V6 kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool is_decimal(std::string_view text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// What stands before the separator, which is dropped with it; all of `text` where there is none.
std::string_view take_until(std::string_view& text, char separator) {
    const std::size_t end = std::min(text.find(separator), text.size());
    const std::string_view part = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    return part;
}

// Four decimal numbers without leading zeros: some readers take 010 for eight.
std::optional<IpAddress::V4> parse_v4(std::string_view text) {
    if (std::count(text.begin(), text.end(), '.') != 3) return std::nullopt;
    IpAddress::V4 bytes{};
    for (std::uint8_t& byte : bytes) {
        const std::string_view part = take_until(text, '.');
        if (!is_decimal(part) || part.size() > 3 || (part.size() > 1 && part.front() == '0')) return std::nullopt;
        const auto value = parse_number<int>(part);
        if (!value || *value > 255) return std::nullopt;
        byte = static_cast<std::uint8_t>(*value);
    }
    return bytes;
}

// The groups of one side of "::". An IPv4 address may stand for the last two where `may_end_in_v4`.
std::optional<std::vector<std::uint16_t>> parse_groups(std::string_view text, bool may_end_in_v4) {
    std::vector<std::uint16_t> groups;
    if (text.empty()) return groups;
    if (text.back() == ':') return std::nullopt;
    while (!text.empty()) {
        const std::string_view part = take_until(text, ':');
        if (const auto v4 = may_end_in_v4 && text.empty() ? parse_v4(part) : std::nullopt) {
            groups.push_back(static_cast<std::uint16_t>((*v4)[0] << 8 | (*v4)[1]));
            groups.push_back(static_cast<std::uint16_t>((*v4)[2] << 8 | (*v4)[3]));
            break;
        }
        std::uint16_t group = 0;
        const auto [rest, error] = std::from_chars(part.data(), part.data() + part.size(), group, 16);
        if (part.empty() || part.size() > 4 || error != std::errc() || rest != part.data() + part.size()) return std::nullopt;
        groups.push_back(group);
    }
    return groups;
}

std::optional<IpAddress::V6> parse_v6(std::string_view text) {
    const std::size_t gap = text.find("::");
    const bool has_gap = gap != std::string_view::npos;
    const auto before = parse_groups(text.substr(0, gap), !has_gap);
    const auto behind = parse_groups(has_gap ? text.substr(gap + 2) : std::string_view(), true);
    if (!before || !behind) return std::nullopt;
    const std::size_t count = before->size() + behind->size();
    if (has_gap ? count >= kGroups : count != kGroups) return std::nullopt;
    std::array<std::uint16_t, kGroups> groups{};
    std::copy(before->begin(), before->end(), groups.begin());
    std::copy_backward(behind->begin(), behind->end(), groups.end());
    IpAddress::V6 bytes{};
    for (std::size_t i = 0; i < kGroups; ++i) {
        bytes[2 * i] = static_cast<std::uint8_t>(groups[i] >> 8);
        bytes[2 * i + 1] = static_cast<std::uint8_t>(groups[i] & 0xff);
    }
    return bytes;
}

bool same_bits(const IpAddress::V6& a, const IpAddress::V6& b, int bits) {
    const auto whole = static_cast<std::size_t>(bits / 8);
    if (!std::equal(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(whole), b.begin())) return false;
    return bits % 8 == 0 || ((a[whole] ^ b[whole]) >> (8 - bits % 8)) == 0;
}

Error wrong(std::string_view text, const std::string& why) {
    constexpr std::size_t kMaxShown = 60;
    return {ErrorKind::kInvalid,
            "must be networks separated by commas, such as 10.0.0.0/8,fd00::/8; \"" + clean_text(text, kMaxShown) + "\" " + why};
}

std::string_view without_blanks(std::string_view text) {
    text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
    return text.substr(0, text.find_last_not_of(' ') + 1);
}

}  // namespace

IpAddress::IpAddress(const V4& bytes) : is_ipv6_(false) { std::copy(bytes.begin(), bytes.end(), bytes_.begin()); }

IpAddress::IpAddress(const V6& bytes) : is_ipv6_(!same_bits(bytes, kMapped, kMappedPrefixBits)) {
    std::copy(is_ipv6_ ? bytes.begin() : bytes.begin() + kMappedPrefixBits / 8, bytes.end(), bytes_.begin());
}

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
    if (text.find(':') == std::string_view::npos) {
        const auto bytes = parse_v4(text);
        return bytes ? std::optional(IpAddress(*bytes)) : std::nullopt;
    }
    const auto bytes = parse_v6(text);
    return bytes ? std::optional(IpAddress(*bytes)) : std::nullopt;
}

std::string IpAddress::text() const {
    std::string text;
    if (!is_ipv6_) {
        for (std::size_t i = 0; i < 4; ++i) text += (i == 0 ? "" : ".") + std::to_string(bytes_[i]);
        return text;
    }
    const auto group = [&](std::size_t i) { return bytes_[2 * i] << 8 | bytes_[2 * i + 1]; };
    std::size_t gap = kGroups;
    std::size_t gap_length = 1;  // a single zero is written
    for (std::size_t begin = 0; begin < kGroups; ++begin) {
        std::size_t end = begin;
        while (end < kGroups && group(end) == 0) ++end;
        if (end - begin > gap_length) {
            gap = begin;
            gap_length = end - begin;
        }
    }
    for (std::size_t i = 0; i < kGroups; ++i) {
        if (i == gap) {
            text += "::";
            i += gap_length - 1;
            continue;
        }
        if (!text.empty() && text.back() != ':') text += ':';
        std::array<char, 4> digits{};
        const auto written = std::to_chars(digits.data(), digits.data() + digits.size(), group(i), 16);
        text.append(digits.data(), written.ptr);
    }
    return text;
}

bool IpNetwork::contains(const IpAddress& address) const {
    return address.is_ipv6() == base.is_ipv6() && same_bits(address.bytes(), base.bytes(), prefix_bits);
}

std::string IpNetwork::text() const { return base.text() + "/" + std::to_string(prefix_bits); }

Result<IpNetwork> IpNetwork::parse(std::string_view text) {
    std::string_view rest = text;
    const std::string_view address_text = take_until(rest, '/');
    const auto base = IpAddress::parse(address_text);
    if (!base) return wrong(text, "has no IPv4 or IPv6 address before its prefix");
    const bool is_mapped = !base->is_ipv6() && address_text.find(':') != std::string_view::npos;
    const int most = is_mapped || base->is_ipv6() ? 128 : 32;
    const int least = is_mapped ? kMappedPrefixBits : 0;
    int prefix = most;
    if (address_text.size() != text.size()) {
        const auto given = is_decimal(rest) ? parse_number<int>(rest) : std::nullopt;
        if (!given || *given < least || *given > most) {
            return wrong(text, "needs a prefix from " + std::to_string(least) + " to " + std::to_string(most));
        }
        prefix = *given;
    }
    IpNetwork network{*base, prefix - least};
    IpAddress::V6 first = base->bytes();
    for (int bit = network.prefix_bits; bit < 128; ++bit) {
        std::uint8_t& byte = first[static_cast<std::size_t>(bit / 8)];
        byte = static_cast<std::uint8_t>(byte & ~(0x80 >> bit % 8));
    }
    if (first != base->bytes()) {
        network.base = base->is_ipv6() ? IpAddress(first) : IpAddress(IpAddress::V4{first[0], first[1], first[2], first[3]});
        return wrong(text, "has bits set behind its prefix: write " + network.text());
    }
    return network;
}

Result<std::vector<IpNetwork>> parse_networks(std::string_view text) {
    std::vector<IpNetwork> networks;
    if (without_blanks(text).empty()) return networks;
    for (bool more = true; more;) {
        more = text.find(',') != std::string_view::npos;
        auto network = IpNetwork::parse(without_blanks(take_until(text, ',')));
        if (!network) return network.error();
        networks.push_back(network.value());
    }
    return networks;
}

}  // namespace messaging::core
