// TlsReceiver: tests/support/tls_receiver.js with a certificate that it signed itself.
#pragma once

#include <optional>
#include <string>

#include "support/process.h"

namespace messaging::test {

class TlsReceiver {
public:
    // `offered`: "h2" (and HTTP/1.1 beside it) or "http/1.1". Answers requests when constructed.
    explicit TlsReceiver(const std::string& offered);

    std::string certificate() const { return directory_.path() + "/certificate.pem"; }
    // Of GET /stats: "received", "distinct", …
    long stat(const std::string& name) const;
    std::string url(const std::string& path = "/") const { return "https://127.0.0.1:" + std::to_string(port_) + path; }

private:
    TemporaryDirectory directory_;
    int port_;
    std::string stats_url_;
    std::optional<Process> server_;  // depends-on: directory_
};

}  // namespace messaging::test
