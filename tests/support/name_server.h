// NameServer: dnsmasq as the name server of a private network, whose answers a test changes.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "support/process.h"

namespace messaging::test {

class NameServer {
public:
    using Names = std::map<std::string, std::vector<std::string>>;  // addresses by name

    // Why it cannot be run here; empty where it can.
    static std::string why_not();

    // In a PrivateNetwork. It knows no name yet.
    NameServer();

    // These names, and no others, exist: each has these addresses, for no time to live. Returns when it answers so.
    void set(const Names& names);

private:
    void start();
    std::string hosts() const { return directory_.path() + "/hosts"; }
    std::string log() const { return directory_.path() + "/log"; }

    TemporaryDirectory directory_;
    int changes_ = 0;
    std::optional<Process> server_;  // depends-on: directory_
};

}  // namespace messaging::test
