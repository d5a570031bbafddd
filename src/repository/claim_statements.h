// The SQL of the claims: the statement is the same for each source, except for the part that picks the entries.
#pragma once

#include "engine/claim_store.h"
#include "pg/statement.h"

namespace messaging::repository {

// Parameters: $1 instance, $2 claim, $3 limit, $4 the only message or NULL; ready also has $5 xid and $6 id of the position.
// Columns: see read_claim() in claim_store.cc.
const pg::Statement& claim_statement(engine::Source source);
// Ready: $1 xid, $2 id of the position; due: none. Answers no row, or one: id.
const pg::Statement& peek_statement(engine::Source source);
// $1 message, $2 reason.
const pg::Statement& dead_letter_statement(engine::Source source);

}  // namespace messaging::repository
