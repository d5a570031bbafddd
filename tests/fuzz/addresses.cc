// DATABASE_URL and REDIS_URL: taken apart, or refused. Addresses and networks: read as the system reads them. URLs of endpoints.
#include <arpa/inet.h>

#include "core/address_policy.h"
#include "fuzz/fuzz.h"
#include "http_client/url.h"
#include "pg/conninfo.h"
#include "redis/client.h"

using namespace messaging;  // NOLINT(google-build-using-namespace)

namespace {

void read_address(const std::string& text) {
    unsigned char bytes[16] = {};
    const bool is_v4 = inet_pton(AF_INET, text.c_str(), bytes) == 1;
    const bool is_v6 = inet_pton(AF_INET6, text.c_str(), bytes) == 1;
    const auto address = core::IpAddress::parse(text);
    const bool whole = text.find('\0') == std::string::npos;  // the system stops there
    fuzz::promise(address.has_value() == (whole && (is_v4 || is_v6)), "an address is read where the system reads one");
    if (!address) return;
    fuzz::promise(core::IpAddress::parse(address->text()) == address, "what is written is read as the same");
    const auto reason = core::AddressPolicy().refusal(*address);
    fuzz::promise(!reason || !core::AddressPolicy({core::IpNetwork{*address, address->is_ipv6() ? 128 : 32}}).refusal(*address),
                  "an address that is allowed is not refused");
}

void read_networks(const std::string& text) {
    const auto networks = core::parse_networks(text);
    if (!networks) {
        fuzz::promise(!networks.error().message.empty(), "a refusal says why");
        return;
    }
    for (const core::IpNetwork& network : networks.value()) {
        fuzz::promise(network.contains(network.base), "a network contains its first address");
        const auto again = core::IpNetwork::parse(network.text());
        fuzz::promise(again && again->text() == network.text(), "what is written is read as the same");
    }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string text(fuzz::text_of(data, size));
    if (const auto info = pg::parse_conninfo(text)) {
        fuzz::promise(!info->hosts.empty(), "there is a host to try");
    } else {
        fuzz::promise(!info.error().message.empty(), "a refusal says why");
    }
    if (const auto target = redis::parse_url(text); !target) {
        fuzz::promise(!target.error().message.empty(), "a refusal says why");
    }
    read_address(text);
    read_networks(text);
    for (const std::string& url : {text, "http://" + text + "/"}) {
        const bool taken = http_client::check_target(url, {}).ok();
        fuzz::promise(!taken || http_client::check_url(url).ok(), "a target is a URL");
    }
    return 0;
}
