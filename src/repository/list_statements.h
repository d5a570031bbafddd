// The SQL of the lists: every one ends in the same columns, in the order that read_message() expects.
#pragma once

#include "core/message.h"
#include "pg/rows.h"
#include "pg/statement.h"
#include "service/message_store.h"

namespace messaging::repository {

// Each row: the position (major, id), the message's columns, and where a bounded scan was cut off (major, id, or NULL).
inline constexpr int kColumnsBeforeMessage = 2;

// $1 limit, $2 major, $3 id of the last row seen (both NULL on the first page); the recipient list: $4 recipient, $5 status.
const pg::Statement& list_statement(service::ListStatus status, bool by_recipient);
// $1 id
const pg::Statement& get_statement();

core::MessageView read_message(const pg::Rows& rows, int row, int first_column);

}  // namespace messaging::repository
