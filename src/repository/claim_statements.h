// The SQL of the claims. The statements of the sources differ only in the part that picks the entries.
#pragma once

#include "engine/claim_store.h"
#include "pg/statement.h"

namespace messaging::repository {

// Parameters: $1 instance, $2 claim id, $3 limit, $4 the only message or NULL, and from $5 on the range:
//   ready  xid and id of the position to begin behind, the last xid
//   due    the time to begin at, in microseconds since 1970
//   held   endpoints, their capacities, the capacity of every other endpoint, the endpoint to begin behind
// Columns: see read_claim() in claim_store.cc.
const pg::Statement& claim_statement(engine::Source source);
// Parameters: the range. Answers no row, or one: id.
const pg::Statement& peek_statement(engine::Source source);
// $1 message, $2 reason.
const pg::Statement& dead_letter_statement(engine::Source source);

}  // namespace messaging::repository
