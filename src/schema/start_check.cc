// Checks the session, the rights of its role, the schema, and what the role can see, in this order.
#include "schema/start_check.h"

#include <utility>

#include "core/completion.h"
#include "pg/run_statement.h"
#include "schema/rights.h"

namespace messaging::schema {
namespace {

constexpr pg::Statement kCheckSession{"check_session", R"sql(
SELECT current_setting('server_encoding'), current_setting('messaging.session', true) IS NOT DISTINCT FROM 'api', pg_backend_pid())sql"};

// Policies bind whoever is neither the owner (unless FORCE) nor has BYPASSRLS.
constexpr pg::Statement kCheckRole{"check_role", R"sql(
SELECT (SELECT tag FROM messaging._database), row_security_active('public.messages'), current_user,
       (SELECT substring(pg_get_constraintdef(oid) FROM '(?:<= |AND |, )([0-9]+)')::bigint
        FROM pg_constraint WHERE conname = 'messages_content_bytes' AND conrelid = 'public.messages'::regclass))sql"};

core::Error conflict(std::string message) { return {core::ErrorKind::kConflict, std::move(message)}; }

core::Result<core::Unit> read_session(const pg::Rows& rows, int backend_pid) {
    const std::string encoding(rows.text(0, 0));
    if (encoding != "UTF8") {
        return conflict("the database's encoding is " + encoding +
                        ", and webhooks carry UTF-8: use a database that was created with `createdb -T template0 -E UTF8`");
    }
    // Sessions keep locks, LISTEN and settings, so each needs one server process for all of its life.
    if (!rows.boolean(0, 1) || rows.integer(0, 2) != backend_pid) {
        return pooler_error();
    }
    return core::Unit{};
}

core::Result<core::Unit> read_rights(const pg::Rows& rows) {
    std::string missing = read_missing_rights(rows);
    if (!missing.empty()) return conflict(std::move(missing));
    return core::Unit{};
}

core::Result<StartFacts> read_role(const pg::Rows& rows) {
    if (rows.boolean(0, 1)) {
        return conflict("row-level security hides rows of messages from the role \"" + std::string(rows.text(0, 2)) +
                        "\": use the table's owner, or ALTER ROLE … BYPASSRLS");
    }
    return StartFacts{std::string(rows.text(0, 0)),
                      rows.is_null(0, 3) ? std::size_t{0} : static_cast<std::size_t>(rows.bigint(0, 3))};
}

}  // namespace

core::Error pooler_error() {
    return conflict(
        "DATABASE_URL leads to a connection pooler (such as PgBouncer), and the service needs sessions of its own: give it the "
        "address of PostgreSQL itself. Applications that insert messages may use the pooler");
}

bool is_pooler_refusal(const core::Error& error) {
    return error.message.find("unsupported startup parameter") != std::string::npos;
}

void check_start(pg::Connection& connection, const SchemaFiles& files, const core::Completion<StartFacts>& done) {
    const auto check_role = [&connection, done](const core::Result<core::Unit>& schema) {
        if (!schema) return done(schema.error());
        pg::run_statement<StartFacts>(connection, kCheckRole, {}, done, read_role);
    };
    const auto check_the_schema = [&connection, files, done, check_role](const core::Result<core::Unit>& rights) {
        if (!rights) return done(rights.error());
        check_schema(connection, files, check_role);
    };
    const auto check_rights = [&connection, done, check_the_schema](const core::Result<core::Unit>& session) {
        if (!session) return done(session.error());
        pg::run_statement<core::Unit>(connection, kMissingRights, {}, check_the_schema, read_rights);
    };
    pg::run_statement<core::Unit>(connection, kCheckSession, {}, check_rights,
                                  [pid = connection.backend_pid()](const pg::Rows& rows) { return read_session(rows, pid); });
}

}  // namespace messaging::schema
