// initdb, start, stop.
#include "support/private_postgres.h"

#include <libpq-fe.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "pg/session.h"
#include "schema/migrator.h"
#include "support/places.h"

namespace messaging::test {
namespace {

[[noreturn]] void give_up(const std::string& why) {
    std::fprintf(stderr, "private PostgreSQL: %s\n", why.c_str());
    std::abort();
}

CommandResult must_run(const std::vector<std::string>& command) {
    ProcessOptions options;
    options.arguments = command;
    CommandResult result = run_command(options);
    if (result.exit_code != 0) give_up(command.at(0) + " failed: " + result.output);
    return result;
}

pg::Session open_session(const std::string& url) {
    auto session = pg::Session::connect(url, "test");
    if (!session) give_up(session.error().message);
    return std::move(session.value());
}

std::string environment_value(const char* name) {
    const char* const value = std::getenv(name);
    return value == nullptr ? "" : value;
}

std::string debian_binaries() {
    std::string folder = must_run({"pg_config", "--bindir"}).output;
    while (!folder.empty() && folder.back() == '\n') folder.pop_back();
    return folder;
}

constexpr const char* kTemplate = "messaging_template";

void make_template(PrivatePostgres& server) {
    pg::Session session = open_session(server.create_database(kTemplate));
    auto migrations = schema::read_schema(migrations_dir());
    if (!migrations) give_up(migrations.error().message);
    const auto applied = schema::Migrator(session, std::move(migrations.value())).up();
    if (!applied) give_up(applied.error().message);
}

std::string next_name() {
    static int count = 0;
    return "test_" + std::to_string(++count);
}

}  // namespace

std::vector<std::string> as_server_user(std::vector<std::string> command, const std::string& death_signal) {
    if (geteuid() != 0) return command;
    // A change of user clears the death signal: setpriv sets it again.
    std::vector<std::string> wrapped{
        "setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--pdeathsig=" + death_signal, "--"};
    wrapped.insert(wrapped.end(), command.begin(), command.end());
    return wrapped;
}

PrivatePostgres::PrivatePostgres(Empty, const std::string& parent) : directory_(parent) {
    server_binaries_ = environment_value("POSTGRES_BIN");
    if (server_binaries_.empty()) server_binaries_ = debian_binaries();
    if (geteuid() == 0) must_run({"chown", "postgres:postgres", directory_.path()});
    chmod(directory_.path().c_str(), 0755);  // the test, as another user, reads the log and uses the socket
}

PrivatePostgres::PrivatePostgres(const std::string& parent) : PrivatePostgres(Empty::kYes, parent) {
    must_run(as_server_user({server_binaries_ + "/initdb", "--pgdata=" + directory_.path() + "/data", "--username=postgres",
                             "--encoding=UTF8", "--locale=C", "--auth-local=trust", "--auth-host=scram-sha-256", "--no-sync"}));
    start();
    check_version();
    run_sql(std::string("ALTER ROLE postgres PASSWORD '") + kPassword + "'");
}

std::unique_ptr<PrivatePostgres> PrivatePostgres::standby_of(PrivatePostgres& primary) {
    std::unique_ptr<PrivatePostgres> standby(new PrivatePostgres(Empty::kYes));
    must_run(as_server_user({debian_binaries() + "/pg_basebackup", "--pgdata=" + standby->directory_.path() + "/data",
                             "--dbname=" + primary.url(), "--write-recovery-conf", "--no-sync", "--checkpoint=fast"}));
    standby->start();
    return standby;
}

PrivatePostgres::~PrivatePostgres() { stop(SIGQUIT); }

std::string PrivatePostgres::url(const std::string& database) const {
    return "postgresql://postgres@/" + database + "?host=" + directory_.path() + "&port=" + std::to_string(port_);
}

std::string PrivatePostgres::tcp_url(const std::string& database, const std::string& password) const {
    return "postgresql://postgres:" + password + "@127.0.0.1:" + std::to_string(port_) + "/" + database;
}

std::string PrivatePostgres::create_database(const std::string& name, const std::string& database_template) {
    run_sql("CREATE DATABASE " + name + " TEMPLATE " + database_template);
    return url(name);
}

void PrivatePostgres::check_version() {
    const std::string expected = environment_value("POSTGRES_VERSION");
    const std::string runs = run_sql("SHOW server_version");
    if (!expected.empty() && run_sql("SELECT current_setting('server_version_num')::int / 10000") != expected) {
        give_up("POSTGRES_VERSION is " + expected + ", and " + server_binaries_ + " has version " + runs);
    }
}

bool PrivatePostgres::accepts_connections() { return PQping(url().c_str()) == PQPING_OK; }

void PrivatePostgres::start() {
    const std::string log = directory_.path() + "/log";
    // Another process may take the free port first, once; after that the port stays, as clients know it.
    for (int attempt = 0; attempt < (port_ == 0 ? 3 : 1); ++attempt) {
        const int port = port_ == 0 ? free_port() : port_;
        ProcessOptions options;
        options.arguments = as_server_user({server_binaries_ + "/postgres",
                                            "-D",
                                            directory_.path() + "/data",
                                            "-k",
                                            directory_.path(),
                                            "-h",
                                            "127.0.0.1",
                                            "-p",
                                            std::to_string(port),
                                            "-c",
                                            "fsync=off",
                                            "-c",
                                            "full_page_writes=off",
                                            "-c",
                                            "max_connections=60",
                                            "-c",
                                            "shared_buffers=64MB",
                                            "-c",
                                            "autovacuum_naptime=5s",
                                            "-c",
                                            "unix_socket_permissions=0777"});
        options.output_file = log;
        options.death_signal = SIGQUIT;
        server_ = std::make_unique<Process>(options);
        const int previous = std::exchange(port_, port);
        wait_until([this] { return !server_->running() || accepts_connections(); });
        if (server_->running() && accepts_connections()) return;
        port_ = previous;
    }
    give_up("it does not start: " + read_text_file(log));
}

void PrivatePostgres::stop(int signal_number) {
    if (!server_) return;
    server_->stop(signal_number);
    server_.reset();
}

void PrivatePostgres::restart(int signal_number) {
    stop(signal_number);
    start();
}

std::string PrivatePostgres::run_sql(const std::string& sql, const std::string& database) {
    pg::Session session = open_session(url(database));
    const auto rows = session.execute(sql.c_str());
    if (!rows) give_up(sql + ": " + rows.error().message);
    return rows->size() == 0 || rows->is_null(0, 0) ? "" : std::string(rows->text(0, 0));
}

PrivatePostgres& shared_postgres() {
    static PrivatePostgres server;
    return server;
}

std::string fresh_database() {
    PrivatePostgres& server = shared_postgres();
    static const bool template_ready = (make_template(server), true);
    return template_ready ? server.create_database(next_name(), kTemplate) : "";
}

std::string empty_database() { return shared_postgres().create_database(next_name()); }

}  // namespace messaging::test
