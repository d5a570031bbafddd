// The order of the columns, for SQL and for the reader.
#include "repository/message_columns.h"

#include <array>
#include <cstdlib>

#include "core/webhook_id.h"
#include "repository/time_text.h"

namespace messaging::repository {
namespace {

enum Column {
    kId,
    kRecipient,
    kContent,
    kContentBytes,
    kStatus,
    kAttempts,
    kGeneration,
    kDatabaseTag,
    kCreatedAt,
    kSentAt,
    kNextAttemptAt,
    kDeadAt,
    kReceiverMessageId,
    kLastError,
    kEndpointId,
    kEndpoint,
    kEventId,
    kEventType,
    kColumns
};
static_assert(kColumns == kMessageColumns);

core::MessageStatus status_of(std::string_view word) {
    for (const auto status : core::kMessageStatuses) {
        if (word == core::word_of(status)) return status;
    }
    std::abort();  // messaging._status() has no other words
}

}  // namespace

std::string message_columns(const std::string& content) {
    std::array<std::string, kColumns> columns;
    columns[kId] = "m.id";
    columns[kRecipient] = "m.recipient";
    columns[kContent] = content;
    columns[kContentBytes] = "octet_length(m.content)";
    columns[kStatus] = kMessageStatus;
    columns[kAttempts] = "m.attempts";
    columns[kGeneration] = "m.generation";
    columns[kDatabaseTag] = "(SELECT tag FROM messaging._database)";
    columns[kCreatedAt] = rfc3339("m.created_at");
    columns[kSentAt] = rfc3339("m.sent_at");
    columns[kNextAttemptAt] = rfc3339("CASE WHEN NOT m.is_sent THEN s.due_at END");
    columns[kDeadAt] = rfc3339("CASE WHEN NOT m.is_sent THEN d.failed_at END");
    columns[kReceiverMessageId] = "m.receiver_message_id";
    columns[kLastError] = "coalesce(CASE WHEN NOT m.is_sent THEN d.reason END, m.last_error)";
    columns[kEndpointId] = "m.endpoint_id";
    columns[kEndpoint] = "e.name";
    columns[kEventId] = "m.event_id";
    columns[kEventType] = "v.type";
    std::string sql;
    for (const std::string& column : columns) sql += (sql.empty() ? "" : ", ") + column;
    return sql;
}

core::MessageView read_message(const pg::Rows& rows, int row, int first) {
    core::MessageView message;
    message.id = rows.bigint(row, first + kId);
    message.recipient = rows.optional_text(row, first + kRecipient);
    message.content = rows.optional_text(row, first + kContent);
    message.content_bytes = rows.optional_integer(row, first + kContentBytes).value_or(0);
    message.status = status_of(rows.text(row, first + kStatus));
    message.attempts = rows.integer(row, first + kAttempts);
    message.webhook_id =
        core::format_webhook_id(rows.text(row, first + kDatabaseTag), message.id, rows.integer(row, first + kGeneration));
    message.created_at = rows.text(row, first + kCreatedAt);
    message.sent_at = rows.optional_text(row, first + kSentAt);
    message.next_attempt_at = rows.optional_text(row, first + kNextAttemptAt);
    message.dead_at = rows.optional_text(row, first + kDeadAt);
    message.receiver_message_id = rows.optional_text(row, first + kReceiverMessageId);
    message.last_error = rows.optional_text(row, first + kLastError);
    message.endpoint_id = rows.bigint(row, first + kEndpointId);
    message.endpoint = rows.optional_text(row, first + kEndpoint);
    message.event_id = rows.optional_bigint(row, first + kEventId);
    message.event_type = rows.optional_text(row, first + kEventType);
    return message;
}

}  // namespace messaging::repository
