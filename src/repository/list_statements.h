// The SQL of the lists and of one message. All have the same columns of a message, in the order that read_message() expects.
#pragma once

#include "core/message.h"
#include "pg/params.h"
#include "pg/rows.h"
#include "pg/statement.h"
#include "service/message_store.h"

namespace messaging::repository {

// Each row of a list: the position (major, id), the message's columns, and where a bounded scan was cut off (major and id, or
// NULL).
inline constexpr int kColumnsBeforeMessage = 2;
inline constexpr int kMessageColumns = 18;

// Limits of the rows that are read for one page, even if few of them belong to the list.
inline constexpr int kMaxBatchesPerPage = 500;   // of the sent log
inline constexpr int kMaxEntriesScanned = 2000;  // of the schedule, the hold, the ledger or the dead letters
inline constexpr int kMaxQueueSorted = 5000;     // of the queue
inline constexpr int kMaxRowsScanned = 5000;     // of one recipient
inline constexpr int kMaxIdsScanned = 20'000;    // of messages, read in the order of the ids

const pg::Statement& list_statement(const service::ListQuery& query);
// One row more than the page has, so that the last page is known to be the last.
pg::Params list_params(const service::ListQuery& query);

// $1 id, $2 webhook_id or NULL
const pg::Statement& get_statement();

// $1 the event's id, $2 the most messages that are read; the oldest first, without contents
const pg::Statement& event_messages_statement();

core::MessageView read_message(const pg::Rows& rows, int row, int first_column);

}  // namespace messaging::repository
