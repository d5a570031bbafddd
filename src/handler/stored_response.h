// Responses that are stored with an Idempotency-Key: written before the database has chosen ids and times, and replayed.
#pragma once

#include <cstddef>
#include <vector>

#include "core/json.h"
#include "handler/reply.h"
#include "http/message.h"
#include "service/idempotency.h"

namespace messaging::handler {

// Notes the positions of a body's gaps while the body is written, so that no text of a client can be mistaken for a gap.
class BodyGaps {
public:
    // Writes a string that the database is to fill in. It goes into the body as it is, so it must need no escape in JSON.
    void string(core::JsonWriter& json);
    // The same with a number.
    void number(core::JsonWriter& json);
    // Precondition: the body begins with the JSON text that string() and number() have written to; more may follow.
    service::ResponseTemplate split(const http::Response& response) const;

private:
    struct Place {
        std::size_t begin = 0;
        std::size_t length = 0;  // of what stands there meanwhile
    };
    std::vector<Place> places_;
};

// Sends the stored response, with the header Idempotent-Replayed where it is a replay; or the problem with the key.
void send_stored(const Reply& reply, const core::Result<service::StoredResponse>& stored);

}  // namespace messaging::handler
