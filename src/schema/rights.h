// The rights that the role of `messaging serve` needs, as messaging.grant_to(role, 'service') gives them.
#pragma once

#include <string>

#include "pg/rows.h"
#include "pg/statement.h"

namespace messaging::schema {

// Answers one row: the connected role, and the rights that it lacks as one text, or NULL. Nothing is lacking where the schema
// does not exist yet. Names are qualified: any session may run it.
extern const pg::Statement kMissingRights;

// Reads that row: a sentence that says what to do, or an empty string.
std::string read_missing_rights(const pg::Rows& rows);

}  // namespace messaging::schema
