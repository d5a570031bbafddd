// JSON of messages, results and the service's status.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/json.h"
#include "core/message.h"
#include "handler/envelope.h"
#include "handler/stored_response.h"
#include "service/control_store.h"
#include "service/endpoint_registry.h"
#include "service/endpoint_tester.h"
#include "service/event_store.h"
#include "service/message_store.h"
#include "service/replay_store.h"
#include "service/secret_store.h"

namespace messaging::handler {

void write_optional(core::JsonWriter& json, const char* name, const std::optional<std::string>& value);
void write_message(core::JsonWriter& json, const core::MessageView& message,
                   const std::vector<core::AttemptView>* attempts = nullptr);
// Writes an array of messages. Returns how many of them take no more than `max_bytes`, at least one. Where that is fewer than
// all, what was written must not be sent.
int write_messages(core::JsonWriter& json, const std::vector<core::MessageView>& messages, std::size_t max_bytes);
// With `gaps` the endpoint is not created yet: its id and its three times are left as gaps, which the database fills.
void write_endpoint(core::JsonWriter& json, const service::EndpointView& endpoint, BodyGaps* gaps = nullptr);
// With `detail` also its data and its messages.
void write_event(core::JsonWriter& json, const service::EventView& event, const service::EventDetail* detail = nullptr);
// With `gaps` the replay is not created yet: its id, the id and the name of its endpoint, if it has one, and created_at are left
// as gaps, which the database fills.
void write_replay(core::JsonWriter& json, const service::ReplayView& replay, BodyGaps* gaps = nullptr);
void write_dry_run(core::JsonWriter& json, const service::Count& matching);
void write_test(core::JsonWriter& json, const service::EndpointTestResult& result);
void write_secrets(core::JsonWriter& json, const service::EndpointSecrets& secrets);
void write_state(core::JsonWriter& json, const service::ServiceState& state);
void write_status(core::JsonWriter& json, const service::StatusView& status);

// One page of a list. What is passed must live until the answer is sent.
template <typename Items, typename Write>
Answer to_page(const Items& items, int limit, const std::optional<std::string>& next_cursor, Write write) {
    return {200, "ok",
            [&items, write](core::JsonWriter& json) {
                json.begin_array();
                for (const auto& item : items) write(json, item);
                json.end_array();
            },
            [limit, &next_cursor](core::JsonWriter& json) {
                json.key("limit").integer(limit);
                write_optional(json, "next_cursor", next_cursor);
            }};
}

}  // namespace messaging::handler
