// Writes each JSON object field by field. 64-bit ids are strings.
#include "handler/encode.h"

#include "service/control_store.h"

namespace messaging::handler {
namespace {

void write_state_members(core::JsonWriter& json, const service::ServiceState& state) {
    json.key("state").string(state.running ? "running" : "stopped");
    json.key("since").string(state.since).key("changed_by").string(state.changed_by);
}

void write_optional_integer(core::JsonWriter& json, const char* name, const std::optional<int>& value) {
    json.key(name);
    if (value) {
        json.integer(*value);
    } else {
        json.null();
    }
}

void write_optional_number(core::JsonWriter& json, const char* name, const std::optional<double>& value) {
    json.key(name);
    if (value) {
        json.number(*value);
    } else {
        json.null();
    }
}

void write_attempts(core::JsonWriter& json, const std::vector<core::AttemptView>& attempts) {
    json.key("failed_attempts").begin_array();
    for (const core::AttemptView& attempt : attempts) {
        json.begin_object().key("attempt").integer(attempt.attempt).key("attempted_at").string(attempt.attempted_at);
        write_optional_integer(json, "http_status", attempt.http_status);
        json.key("duration_ms").integer(attempt.duration_ms).key("error").string(attempt.error).end_object();
    }
    json.end_array();
}

void write_count(core::JsonWriter& json, const char* name, const service::Count& count) {
    json.key(name).begin_object().key("count").integer(count.count).key("exact").boolean(count.exact).end_object();
}

// As the engines read them.
void write_headers(core::JsonWriter& json, const std::string& text) {
    json.key("headers").begin_object();
    for (const auto& [name, value] : core::string_members(text)) json.key(name).string(value);
    json.end_object();
}

void write_health(core::JsonWriter& json, const service::EndpointHealth& health) {
    json.key("health").begin_object();
    write_count(json, "held", health.held);
    write_optional(json, "oldest_held_at", health.oldest_held_at);
    json.key("sending").integer(health.sending).key("sent").integer(health.sent).key("failed").integer(health.failed);
    write_optional_number(json, "success_ratio", health.success_ratio);
    write_optional_number(json, "p50_ms", health.p50_ms);
    write_optional_number(json, "p95_ms", health.p95_ms);
    write_optional(json, "last_error", health.last_error);
    json.end_object();
}

}  // namespace

void write_optional(core::JsonWriter& json, const char* name, const std::optional<std::string>& value) {
    json.key(name);
    if (value) {
        json.string(*value);
    } else {
        json.null();
    }
}

void write_message(core::JsonWriter& json, const core::MessageView& message, const std::vector<core::AttemptView>* attempts) {
    json.begin_object().key("id").string(std::to_string(message.id)).key("webhook_id").string(message.webhook_id);
    json.key("status").string(core::word_of(message.status));
    json.key("endpoint_id").string(std::to_string(message.endpoint_id));
    write_optional(json, "endpoint", message.endpoint);
    write_optional(json, "event_id", message.event_id ? std::optional(std::to_string(*message.event_id)) : std::nullopt);
    write_optional(json, "event_type", message.event_type);
    write_optional(json, "recipient", message.recipient);
    write_optional(json, "content", message.content);
    json.key("content_truncated").boolean(message.content.value_or("").size() < static_cast<std::size_t>(message.content_bytes));
    json.key("attempts").integer(message.attempts).key("created_at").string(message.created_at);
    write_optional(json, "next_attempt_at", message.next_attempt_at);
    write_optional(json, "sent_at", message.sent_at);
    write_optional(json, "dead_at", message.dead_at);
    write_optional(json, "last_error", message.last_error);
    write_optional(json, "receiver_message_id", message.receiver_message_id);
    if (attempts != nullptr) write_attempts(json, *attempts);
    json.end_object();
}

void write_endpoint(core::JsonWriter& json, const service::EndpointView& endpoint, BodyGaps* gaps) {
    const auto from_database = [&](const char* name, const std::string& value) {
        json.key(name);
        gaps == nullptr ? (void)json.string(value) : gaps->string(json);
    };
    json.begin_object();
    from_database("id", std::to_string(endpoint.id));
    json.key("name").string(endpoint.name).key("url").string(endpoint.url);
    write_optional(json, "description", endpoint.description);
    write_optional(json, "tenant", endpoint.tenant);
    write_headers(json, endpoint.headers);
    json.key("event_types").begin_array();
    for (const std::string& type : endpoint.event_types) json.string(type);
    json.end_array();
    json.key("signing").string(endpoint.signing).key("max_in_flight").integer(endpoint.max_in_flight);
    write_optional_integer(json, "timeout_seconds", endpoint.timeout_seconds);
    write_optional_integer(json, "max_attempts", endpoint.max_attempts);
    write_optional_integer(json, "rate_limit", endpoint.rate_limit);
    from_database("created_at", endpoint.created_at);
    from_database("updated_at", endpoint.updated_at);
    json.key("state").string(core::word_of(endpoint.state));
    write_optional(json, "state_reason", endpoint.state_reason);
    from_database("state_since", endpoint.state_since);
    write_health(json, endpoint.health);
    json.end_object();
}

void write_event(core::JsonWriter& json, const service::EventView& event, const service::EventDetail* detail) {
    json.begin_object().key("id").string(std::to_string(event.id)).key("type").string(event.type);
    write_optional(json, "tenant", event.tenant);
    json.key("created_at").string(event.created_at).key("message_count").integer(event.message_count);
    if (detail != nullptr) {
        json.key("data").json(detail->data).key("messages").begin_array();
        for (const core::MessageView& message : detail->messages) write_message(json, message);
        json.end_array();
    }
    json.end_object();
}

void write_replay(core::JsonWriter& json, const service::ReplayView& replay, BodyGaps* gaps) {
    const auto from_database = [&](const char* name, const std::optional<std::string>& value) {
        if (gaps == nullptr || !value) return write_optional(json, name, value);
        json.key(name);
        gaps->string(json);
    };
    const auto endpoint_id = replay.endpoint_id ? std::optional(std::to_string(*replay.endpoint_id)) : std::nullopt;
    json.begin_object();
    from_database("id", std::to_string(replay.id));
    json.key("state").string(replay.state).key("filter").begin_object().key("status").string(replay.status);
    from_database("endpoint_id", gaps == nullptr ? endpoint_id : replay.endpoint);
    from_database("endpoint", replay.endpoint);
    write_optional(json, "event_type", replay.event_type);
    write_optional(json, "tenant", replay.tenant);
    write_optional(json, "since", replay.since);
    write_optional(json, "until", replay.until);
    json.end_object().key("progress").number(replay.progress).key("replayed").integer(replay.replayed);
    json.key("skipped").integer(replay.skipped).key("refused").integer(replay.refused);
    write_optional(json, "last_error", replay.last_error);
    json.key("created_by").string(replay.created_by);
    from_database("created_at", replay.created_at);
    write_optional(json, "finished_at", replay.finished_at);
    json.end_object();
}

void write_dry_run(core::JsonWriter& json, const service::Count& matching) {
    json.begin_object();
    write_count(json, "matching", matching);
    json.end_object();
}

void write_test(core::JsonWriter& json, const service::EndpointTestResult& result) {
    json.begin_object().key("delivered").boolean(!result.error);
    write_optional_integer(json, "http_status", result.http_status);
    json.key("duration_ms").integer(result.duration.count());
    write_optional(json, "error", result.error);
    json.key("request").begin_object().key("headers").begin_object();
    for (const auto& [name, value] : result.headers) json.key(name).string(value);
    json.end_object().key("body").string(result.body).end_object();
    json.key("response_excerpt").string(result.response_excerpt).end_object();
}

void write_secrets(core::JsonWriter& json, const service::EndpointSecrets& secrets) {
    const auto text = [](const std::string& value) { return value.empty() ? std::nullopt : std::optional(value); };
    json.begin_object().key("signing").string(core::word_of(secrets.kind));
    write_optional(json, "secret", text(secrets.secret));
    write_optional(json, "public_key", text(secrets.public_key));
    json.key("previous").begin_array();
    for (const std::string& expires_at : secrets.previous_expire_at) {
        json.begin_object().key("expires_at").string(expires_at).end_object();
    }
    json.end_array().end_object();
}

int write_messages(core::JsonWriter& json, const std::vector<core::MessageView>& messages, std::size_t max_bytes) {
    const std::size_t before = json.text().size();
    int written = 0;
    json.begin_array();
    for (const core::MessageView& message : messages) {
        write_message(json, message);
        if (written > 0 && json.text().size() - before > max_bytes) break;
        ++written;
    }
    json.end_array();
    return written;
}

void write_state(core::JsonWriter& json, const service::ServiceState& state) {
    json.begin_object();
    write_state_members(json, state);
    json.end_object();
}

void write_status(core::JsonWriter& json, const service::StatusView& status) {
    json.begin_object();
    write_state_members(json, status.state);
    json.key("counts").begin_object();
    write_count(json, "pending", status.pending);
    write_count(json, "scheduled", status.scheduled);
    write_count(json, "held", status.held);
    write_count(json, "dead", status.dead);
    json.end_object().key("in_flight").integer(status.in_flight).key("sent_per_second").number(status.sent_per_second);
    write_optional_number(json, "oldest_pending_seconds", status.oldest_pending_seconds);
    json.key("instances").begin_array();
    for (const service::InstanceView& instance : status.instances) {
        json.begin_object().key("id").string(std::to_string(instance.id)).key("name").string(instance.name);
        json.key("started_at").string(instance.started_at);
        json.key("last_seen_seconds_ago").number(instance.last_seen_seconds_ago);
        json.key("in_flight").integer(instance.in_flight).end_object();
    }
    json.end_array().end_object();
}

}  // namespace messaging::handler
