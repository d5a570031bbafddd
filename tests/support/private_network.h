// PrivateNetwork: a network that has loopback and nothing else, for tests that must reach nobody outside.
#pragma once

#include <string>

#include "support/process.h"

namespace messaging::test {

// Moves this process into a network of its own, for good: what it starts from then on is in there too. Names are looked up in
// /etc/hosts, and then at port 53 of 127.0.0.1, where nobody listens unless a test starts a NameServer. Once in a program, before
// any thread and any server is started. Root may do this, and others where the kernel allows user namespaces.
class PrivateNetwork {
public:
    PrivateNetwork();
    const std::string& why_not() const { return why_not_; }  // empty = this process is in it

    // Makes an IPv4 or IPv6 address one of loopback's, so that a server of the test can be reached at it.
    void add_address(const std::string& address);

private:
    bool show(const std::string& text, const std::string& path) const;

    TemporaryDirectory directory_;
    std::string why_not_;
    int addresses_ = 0;
};

}  // namespace messaging::test
