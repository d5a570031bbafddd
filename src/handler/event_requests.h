// Requests of /events: bodies and queries checked and turned into what the store takes.
#pragma once

#include <cstddef>
#include <string>

#include "handler/requests.h"
#include "service/event_store.h"

namespace messaging::handler {

using NewEvents = Batch<service::NewEvent>;
inline constexpr BatchNames kEvents{"event", "events"};

// `max_data_bytes`: MAX_CONTENT_BYTES, as for a message's content.
Checked<NewEvents> read_new_events(const http::Request& request, std::size_t max_data_bytes);
Checked<service::EventQuery> read_event_query(const http::Request& request);
Checked<core::EventId> read_event_id(const http::Request& request);

std::string write_event_cursor(const service::EventQuery& query, core::EventId last);

}  // namespace messaging::handler
