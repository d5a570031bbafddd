// The SQL of the lists of messages.
#pragma once

#include "pg/params.h"
#include "pg/statement.h"
#include "repository/message_columns.h"
#include "service/message_store.h"

namespace messaging::repository {

// A row of a list: the position (major, id), then the columns of the message, then the position behind which the next page goes
// on where the scan was cut off (major and id, or NULL). An empty page has one row whose id is NULL.
inline constexpr int kColumnsBeforeMessage = 2;
inline constexpr int kScanEnd = kColumnsBeforeMessage + kMessageColumns;

// Limits of the rows that are read for one page, even if few of them belong to the list.
inline constexpr int kMaxBatchesPerPage = 500;   // of the sent log
inline constexpr int kMaxEntriesScanned = 2000;  // of the schedule, the hold, the ledger or the dead letters
inline constexpr int kMaxQueueSorted = 5000;     // of the queue
inline constexpr int kMaxRowsScanned = 5000;     // of one recipient, or of one event
inline constexpr int kMaxIdsScanned = 20'000;    // of messages, read in the order of the ids

const pg::Statement& list_statement(const service::ListQuery& query);
// For one row more than the page has, so that the last page is known to be the last.
pg::Params list_params(const service::ListQuery& query);

}  // namespace messaging::repository
