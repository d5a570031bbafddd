// Debian's pgbouncer as a child.
#include "support/private_pgbouncer.h"

#include <libpq-fe.h>
#include <sys/stat.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>

namespace messaging::test {

PrivatePgbouncer::PrivatePgbouncer(const PrivatePostgres& server, PgbouncerOptions options) {
    chmod(directory_.path().c_str(), 0755);  // the pooler, as another user, reads its configuration
    const std::string log = directory_.path() + "/log";
    for (int attempt = 0; attempt < 3; ++attempt) {  // another process may take the free port first
        port_ = free_port();
        write_configuration(server, options);
        ProcessOptions process;
        process.arguments = as_server_user({"/usr/sbin/pgbouncer", directory_.path() + "/pgbouncer.ini"}, "SIGKILL");
        process.output_file = log;
        pooler_ = std::make_unique<Process>(process);
        wait_until([this] { return !pooler_->running() || accepts_connections(); });
        if (pooler_->running() && accepts_connections()) return;
    }
    std::fprintf(stderr, "private PgBouncer does not start: %s\n", read_text_file(log).c_str());
    std::abort();
}

void PrivatePgbouncer::write_configuration(const PrivatePostgres& server, const PgbouncerOptions& options) const {
    std::ofstream(directory_.path() + "/users") << "\"postgres\" \"\"\n";
    std::ofstream configuration(directory_.path() + "/pgbouncer.ini");
    configuration << "[databases]\n* = host=" << server.socket_directory() << " port=" << server.port() << "\n[pgbouncer]\n"
                  << "listen_addr = 127.0.0.1\nlisten_port = " << port_ << "\nunix_socket_dir =\nauth_type = trust\n"
                  << "auth_file = " << directory_.path() << "/users\npool_mode = " << options.pool_mode << "\n"
                  << "default_pool_size = " << kServerSessions << "\nmax_client_conn = 200\n";
    if (!options.ignore_startup_parameters.empty()) {
        configuration << "ignore_startup_parameters = " << options.ignore_startup_parameters << "\n";
    }
}

std::string PrivatePgbouncer::url(const std::string& server_url) const {
    const std::size_t begin = server_url.find("@/") + 2;
    const std::string database = server_url.substr(begin, server_url.find('?') - begin);
    return "postgresql://postgres@127.0.0.1:" + std::to_string(port_) + "/" + database;
}

bool PrivatePgbouncer::accepts_connections() const {
    return PQping(("host=127.0.0.1 user=postgres dbname=postgres port=" + std::to_string(port_)).c_str()) == PQPING_OK;
}

}  // namespace messaging::test
