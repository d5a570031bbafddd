// VerifyingReceiver: tests/support/verifier/receiver.js, which accepts what a secret that it was given verifies.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "support/process.h"

namespace messaging::test {

class VerifyingReceiver {
public:
    // Why none can be started here; empty when one can.
    static std::string why_not();

    // Precondition: why_not() is empty. Answers requests when constructed.
    VerifyingReceiver();

    std::string url() const { return "http://127.0.0.1:" + std::to_string(port_) + "/"; }
    // "whsec_…" or "whpk_…", besides those given before.
    void trust(const std::string& secret) const;
    // Of GET /stats: "received", "failed", "unsigned", "most_signatures".
    long stat(const std::string& name) const;
    // How many requests the nth one that it was given has verified, from 0.
    long verified(std::size_t nth) const;

private:
    TemporaryDirectory directory_;
    int port_;
    std::optional<Process> server_;  // depends-on: directory_
};

}  // namespace messaging::test
