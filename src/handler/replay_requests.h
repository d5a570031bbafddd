// Requests of /replays: bodies and queries checked and turned into what the store takes.
#pragma once

#include <string>

#include "handler/requests.h"
#include "service/replay_store.h"

namespace messaging::handler {

struct NewReplay {
    service::ReplayFilter filter;
    bool dry_run = false;
};

// The rules are those of messaging._replay_filter(). Whether there is such an endpoint, only the database knows.
Checked<NewReplay> read_new_replay(const http::Request& request);
Checked<service::ReplayQuery> read_replay_query(const http::Request& request);
Checked<core::ReplayId> read_replay_id(const http::Request& request);

std::string write_replay_cursor(core::ReplayId last);

}  // namespace messaging::handler
