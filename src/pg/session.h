// Session: a blocking PostgreSQL session for the subcommands that have no loop (migrate, doctor, faker).
#pragma once

#include <string>
#include <string_view>

#include "core/result.h"
#include "pg/params.h"
#include "pg/rows.h"

namespace messaging::pg {

// One thread at a time. Must not be used on a loop's thread.
class Session {
public:
    // kUnavailable with libpq's own words when it cannot be reached (passwords are never in them).
    static core::Result<Session> connect(const std::string& url, const std::string& application_name);

    // As the server has told it. Another one than pg_backend_pid() = there is a connection pooler between.
    int backend_pid() const;

    core::Result<Rows> execute(const char* sql, const Params& params = {});
    // Several statements in one text, no parameters, as psql -f would.
    core::Result<core::Unit> execute_script(const std::string& sql);

    // COPY … FROM STDIN: begin, any number of rows in PostgreSQL's text format, then end.
    core::Result<core::Unit> begin_copy(const char* copy_sql);
    core::Result<core::Unit> put_copy(std::string_view rows);
    core::Result<core::Unit> end_copy();

private:
    explicit Session(ConnHandle conn) : conn_(std::move(conn)) {}
    ConnHandle conn_;
};

}  // namespace messaging::pg
