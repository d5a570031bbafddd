// DefaultEndpoint: writes WEBHOOK_URL into the row of the endpoint `default`, and logs when messages go to another URL.
#pragma once

#include <string>

#include "app/config.h"
#include "core/completion.h"
#include "core/result.h"
#include "pg/connection.h"
#include "repository/endpoint_store.h"

namespace messaging::app {

// Loop thread only. What it is given must outlive it. All processes of one database send to the URL in this row, which the
// process that was started last has written.
class DefaultEndpoint {
public:
    DefaultEndpoint(pg::Connection& session, const Config& config)
        : config_(config), store_(session), logged_url_(config.webhook_url) {}

    // Writes the row, and logs which URL it replaces.
    void write(core::Completion<core::Unit> done);
    // `url`: the row has it now; empty = there is no such row. Logs a change. Writes the row where it is as the migration made
    // it.
    void on_read(const std::string& url);

private:
    void write_again();

    const Config& config_;
    repository::PgEndpointStore store_;
    std::string logged_url_;  // the URL that the log has named last
};

}  // namespace messaging::app
