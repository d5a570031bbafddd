// The webhook-id of a message: "msg_<database tag>_<id>_<salt>".
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/message.h"

namespace messaging::core {

// The same on every attempt and when the message is sent again. It contains no '.', because Standard Webhooks signs
// `id.timestamp.body`. The tag tells databases apart, and the salt two messages that have the same id: after TRUNCATE … RESTART
// IDENTITY, a failover or a restore. SQL has the same as messaging.webhook_id(id).
std::string format_webhook_id(std::string_view database_tag, MessageId id, int generation);

// The message's id in a text of that form; nullopt where it has another form. The id is positive and has no leading zero.
std::optional<MessageId> id_in_webhook_id(std::string_view text);

}  // namespace messaging::core
