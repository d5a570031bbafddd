// PrivatePostgres: a PostgreSQL server of the test's own, in a temporary directory.
#pragma once

#include <memory>
#include <string>

#include "support/process.h"

namespace messaging::test {

// Listens on a Unix socket (no password) and on a free TCP port of 127.0.0.1 (password kPassword). Nothing is synced to
// disk. Run by root it becomes the user postgres, since PostgreSQL refuses root. A server that cannot be started ends the
// test with its log.
// The server is Debian's unless the environment variable POSTGRES_BIN names the folder of another one's programs. Where
// POSTGRES_VERSION is set, a server of another major version ends the test: no run tests a version that it does not say.
class PrivatePostgres {
public:
    static constexpr const char* kPassword = "right-password";

    // In a new directory under `parent`, as TemporaryDirectory has it.
    explicit PrivatePostgres(const std::string& parent = "");
    // A standby of `primary`, which streams from it.
    static std::unique_ptr<PrivatePostgres> standby_of(PrivatePostgres& primary);
    ~PrivatePostgres();
    PrivatePostgres(const PrivatePostgres&) = delete;
    PrivatePostgres& operator=(const PrivatePostgres&) = delete;

    std::string url(const std::string& database = "postgres") const;  // through the Unix socket, as superuser
    std::string tcp_url(const std::string& database = "postgres", const std::string& password = kPassword) const;
    int port() const { return port_; }
    const std::string& socket_directory() const { return directory_.path(); }

    // A new database; answers its url().
    std::string create_database(const std::string& name, const std::string& database_template = "template1");

    void start();
    // SIGINT = fast (sessions are told), SIGTERM = smart, SIGQUIT = immediate (as in a crash).
    void stop(int signal_number = SIGINT);
    void restart(int signal_number = SIGINT);

    // Runs SQL as superuser; a failure ends the test. Answers the first column of the first row, or "".
    std::string run_sql(const std::string& sql, const std::string& database = "postgres");

private:
    enum class Empty { kYes };
    explicit PrivatePostgres(Empty, const std::string& parent = "");  // a directory without a cluster
    bool accepts_connections();
    void check_version();

    TemporaryDirectory directory_;
    std::string server_binaries_;  // postgres, initdb
    int port_ = 0;
    std::unique_ptr<Process> server_;  // depends-on: directory_
};

// The command as the user postgres where root runs the test: PostgreSQL and PgBouncer refuse root. It gets the death signal when
// the test dies.
std::vector<std::string> as_server_user(std::vector<std::string> command, const std::string& death_signal = "SIGQUIT");

// The server that all tests of this executable share; started on first use, ended at exit.
PrivatePostgres& shared_postgres();

// A new database of shared_postgres() with all migrations applied (copied from a template). Answers its url().
std::string fresh_database();
// The same without any table.
std::string empty_database();

}  // namespace messaging::test
