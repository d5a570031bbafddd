// Comparing a role's rights with what the statements of the service need.
#include "schema/rights.h"

namespace messaging::schema {

// Trigger functions are missing on purpose: a trigger fires without a right of the inserting role.
const pg::Statement kMissingRights{"missing_rights", R"sql(
WITH ours AS MATERIALIZED (SELECT oid FROM pg_namespace WHERE nspname = 'messaging'),
needed AS (
    SELECT 'USAGE ON SCHEMA messaging' AS what, has_schema_privilege(oid, 'USAGE') AS given FROM ours
    UNION ALL
    SELECT verb || ' ON ' || n.nspname || '.' || c.relname, has_table_privilege(c.oid, verb)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS verb
    WHERE EXISTS (SELECT FROM ours) AND c.relkind IN ('r', 'p')
      AND (n.nspname = 'messaging' OR (n.nspname = 'public' AND c.relname = 'messages'))
      AND (verb = 'SELECT' OR c.relname NOT IN ('_database', '_migration', '_function_file'))
    UNION ALL
    SELECT 'EXECUTE ON FUNCTION messaging.' || p.proname || '()', has_function_privilege(p.oid, 'EXECUTE')
    FROM pg_proc p JOIN ours ON ours.oid = p.pronamespace
    WHERE p.prorettype <> 'trigger'::regtype AND p.proname NOT IN ('grant_to', '_notify', '_make_trigger'))
SELECT current_user, (SELECT string_agg(what, ', ' ORDER BY what) FROM needed WHERE NOT given))sql"};

std::string read_missing_rights(const pg::Rows& rows) {
    if (rows.is_null(0, 1)) return "";
    const std::string role(rows.text(0, 0));
    return "the role \"" + role + "\" lacks " + std::string(rows.text(0, 1)) +
           ": as the owner of the schema, run SELECT messaging.grant_to('" + role + "', 'service')";
}

}  // namespace messaging::schema
