// Splitting bodies at their gaps, and sending what is stored.
#include "handler/stored_response.h"

namespace messaging::handler {

void BodyGaps::string(core::JsonWriter& json) {
    json.string("");
    places_.push_back({json.text().size() - 1, 0});  // before the closing quote
}

void BodyGaps::number(core::JsonWriter& json) {
    json.integer(0);
    places_.push_back({json.text().size() - 1, 1});
}

service::ResponseTemplate BodyGaps::split(const http::Response& response) const {
    service::ResponseTemplate result{response.status, {}};
    std::size_t begin = 0;
    for (const Place& place : places_) {
        result.parts.push_back(response.body.substr(begin, place.begin - begin));
        begin = place.begin + place.length;
    }
    result.parts.push_back(response.body.substr(begin));
    return result;
}

void send_stored(const Reply& reply, const core::Result<service::StoredResponse>& stored) {
    if (stored) {
        http::Headers headers;
        if (stored->replayed) headers.emplace_back("Idempotent-Replayed", "true");
        return reply.send_body(stored->status, stored->body, headers);
    }
    if (stored.error().kind != core::ErrorKind::kConflict) return reply.send(stored.error());
    if (!stored.error().sqlstate.empty()) {
        return reply.send(Problem{409, "idempotency_in_progress",
                                  "the first request with this Idempotency-Key is still under way: try again shortly"});
    }
    reply.send(Problem{422, "idempotency_key_reused",
                       "this Idempotency-Key was used within 24 hours with another request body: send a new key"});
}

}  // namespace messaging::handler
