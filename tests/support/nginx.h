// Nginx: the web server as a receiver, as an ordinary user runs it: everything that it writes is in a directory of its own.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "support/process.h"

namespace messaging::test {

struct NginxOptions {
    bool tls = false;  // with a certificate that it signed itself
    bool http2 = false;
    std::string http{};    // directives of the block http
    std::string server{};  // and of the block server
};

// A request that nginx has answered, as its access log has it.
struct LoggedRequest {
    std::string webhook_id;
    int status = 0;
    long place = 0;  // on its connection: 1 for the first
    bool accepted() const { return status >= 200 && status < 300; }
};

class Nginx {
public:
    // Why it cannot be run here; empty where it can.
    static std::string why_not();

    // Answers 204 to every request that its options let through. Listens when constructed.
    explicit Nginx(NginxOptions options);
    ~Nginx();
    Nginx(const Nginx&) = delete;
    Nginx& operator=(const Nginx&) = delete;

    std::string url() const {
        return std::string(options_.tls ? "https" : "http") + "://127.0.0.1:" + std::to_string(port_) + "/";
    }
    std::string certificate() const { return directory_.path() + "/certificate.pem"; }

    // Has new workers take over while the old ones finish their requests. Waits until they have begun.
    void reload();
    // Waits for the end of all its processes: at once (SIGTERM), or after the requests that it has (SIGQUIT).
    void stop(int signal_number);
    void start();

    std::vector<LoggedRequest> log() const;

private:
    long workers_begun() const;
    std::string error_log() const { return directory_.path() + "/error.log"; }

    NginxOptions options_;
    TemporaryDirectory directory_;
    int port_;
    std::optional<Process> master_;  // depends-on: directory_
};

}  // namespace messaging::test
