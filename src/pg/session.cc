// The blocking session.
#include "pg/session.h"

#include <utility>
#include <vector>

#include "pg/conninfo.h"
#include "pg/errors.h"

namespace messaging::pg {
namespace {

core::Result<Rows> finish(PGconn* conn, PGresult* raw) {
    ResultHandle result(raw);
    if (!result) return connection_error(conn);
    const ExecStatusType status = PQresultStatus(result.get());
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_COPY_IN) return Rows(std::move(result));
    return result_error(result.get());
}

core::Result<core::Unit> without_rows(const core::Result<Rows>& result) {
    if (!result) return result.error();
    return core::Unit{};
}

}  // namespace

core::Result<Session> Session::connect(const std::string& url, const std::string& application_name) {
    if (const auto info = parse_conninfo(url); !info) return info.error();
    const char* const keywords[] = {"dbname", "fallback_application_name", "connect_timeout", "client_encoding", nullptr};
    const char* const values[] = {url.c_str(), application_name.c_str(), "10", "UTF8", nullptr};
    ConnHandle conn(PQconnectdbParams(keywords, values, 1));
    if (!conn || PQstatus(conn.get()) != CONNECTION_OK) return connection_error(conn.get());
    PQsetNoticeReceiver(
        conn.get(), [](void*, const PGresult*) {}, nullptr);
    return Session(std::move(conn));
}

int Session::backend_pid() const { return PQbackendPID(conn_.get()); }

core::Result<Rows> Session::execute(const char* sql, const Params& params) {
    std::vector<const char*> values;
    std::vector<int> lengths;
    std::vector<int> formats;
    for (const Params::Value& value : params.values()) {
        values.push_back(value.is_null ? nullptr : value.bytes.c_str());
        lengths.push_back(static_cast<int>(value.bytes.size()));
        formats.push_back(value.binary ? 1 : 0);
    }
    return finish(conn_.get(),
                  PQexecParams(conn_.get(), sql, params.count(), nullptr, values.data(), lengths.data(), formats.data(), 0));
}

core::Result<core::Unit> Session::execute_script(const std::string& sql) {
    return without_rows(finish(conn_.get(), PQexec(conn_.get(), sql.c_str())));
}

core::Result<core::Unit> Session::begin_copy(const char* copy_sql) {
    return without_rows(finish(conn_.get(), PQexec(conn_.get(), copy_sql)));
}

core::Result<core::Unit> Session::put_copy(std::string_view rows) {
    if (PQputCopyData(conn_.get(), rows.data(), static_cast<int>(rows.size())) != 1) return connection_error(conn_.get());
    return core::Unit{};
}

core::Result<core::Unit> Session::end_copy() {
    if (PQputCopyEnd(conn_.get(), nullptr) != 1) return connection_error(conn_.get());
    core::Result<core::Unit> outcome = core::Unit{};
    while (PGresult* const result = PQgetResult(conn_.get())) {
        const auto finished = without_rows(finish(conn_.get(), result));
        if (!finished) outcome = finished;
    }
    return outcome;
}

}  // namespace messaging::pg
