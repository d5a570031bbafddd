// PrivatePgbouncer: a PgBouncer of the test's own in front of a PrivatePostgres, in a temporary directory.
#pragma once

#include <memory>
#include <string>

#include "support/private_postgres.h"
#include "support/process.h"

namespace messaging::test {

struct PgbouncerOptions {
    std::string pool_mode = "transaction";
    std::string ignore_startup_parameters;  // empty = PgBouncer's default: a client that sends `options` is refused
};

// Listens on a free TCP port of 127.0.0.1, without passwords, for every database of the server. A pooler that cannot be
// started ends the test with its log.
class PrivatePgbouncer {
public:
    static constexpr int kServerSessions = 4;  // to each database

    explicit PrivatePgbouncer(const PrivatePostgres& server, PgbouncerOptions options = {});
    PrivatePgbouncer(const PrivatePgbouncer&) = delete;
    PrivatePgbouncer& operator=(const PrivatePgbouncer&) = delete;

    // The database of a URL of the server, reached through this pooler.
    std::string url(const std::string& server_url) const;

private:
    void write_configuration(const PrivatePostgres& server, const PgbouncerOptions& options) const;
    bool accepts_connections() const;

    TemporaryDirectory directory_;
    int port_ = 0;
    std::unique_ptr<Process> pooler_;  // depends-on: directory_
};

}  // namespace messaging::test
