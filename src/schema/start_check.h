// check_start: what must be true of the database and of our sessions before an engine may run on them.
#pragma once

#include <string>

#include "core/completion.h"
#include "core/result.h"
#include "pg/connection.h"
#include "schema/schema_files.h"

namespace messaging::schema {

struct StartFacts {
    std::string database_tag;               // part of each webhook-id
    std::size_t longest_content_bytes = 0;  // that public.messages accepts; 0 = not known
};

// What is said of a connection pooler, which shares its sessions between clients; and whether a failed attempt to connect came
// from one: PgBouncer refuses settings in the start-up packet, unless it is told to ignore them.
core::Error pooler_error();
bool is_pooler_refusal(const core::Error& error);

// Loop only; `done` once, later. On a session of api_session_settings(). kConflict, with a sentence that says what to do: the
// schema is not this program's, the encoding is not UTF8, a connection pooler stands between, the role lacks rights, or row-level
// security hides messages.
void check_start(pg::Connection& connection, const SchemaFiles& files, const core::Completion<StartFacts>& done);

}  // namespace messaging::schema
