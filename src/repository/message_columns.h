// The columns of a message as the API shows it: their SQL and their reader. Every statement that shows messages uses both.
#pragma once

#include <string>

#include "core/message.h"
#include "pg/rows.h"

namespace messaging::repository {

inline constexpr int kMessageColumns = 18;

// SQL for kMessageColumns columns of a message m. `content`: SQL for the content that is shown. The statement must join
// kMessageJoins behind m.
std::string message_columns(const std::string& content);

// Reads these columns from `first_column` on.
core::MessageView read_message(const pg::Rows& rows, int row, int first_column);

// SQL that joins the places of a message m: s, h and d are its rows in the schedule, the hold and the dead letters.
inline constexpr const char* kPlaceJoins = R"sql(
LEFT JOIN messaging._schedule s ON s.id = m.id
LEFT JOIN messaging._hold h ON h.id = m.id
LEFT JOIN messaging._dead d ON d.id = m.id )sql";

// The same, and the endpoint e and the event v of the message.
inline const std::string kMessageJoins = std::string(kPlaceJoins) + R"sql(
LEFT JOIN messaging.endpoints e ON e.id = m.endpoint_id
LEFT JOIN messaging.events v ON v.id = m.event_id )sql";

// SQL for the status of a message m behind kPlaceJoins. PostgreSQL reads the ledger once, when it comes to the first message that
// is in no other place.
inline constexpr const char* kMessageStatus = R"sql(
messaging._status(m.is_sent, d.id IS NOT NULL, h.id IS NOT NULL, s.id IS NOT NULL,
                  (m.id, m.attempts, m.generation) IN (SELECT c.id, c.attempts, c.generation FROM messaging._claimed c)))sql";

}  // namespace messaging::repository
