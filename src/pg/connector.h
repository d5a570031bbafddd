// Connector: one attempt to open a PostgreSQL session without blocking the loop.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "core/result.h"
#include "loop/event_loop.h"
#include "loop/fd_watcher.h"
#include "loop/resolver.h"
#include "pg/conninfo.h"
#include "pg/handles.h"

namespace messaging::pg {

// Loop thread only. Destroying it abandons the attempt. Completes once, later.
class Connector {
public:
    using Completion = std::function<void(core::Result<ConnHandle>)>;

    // `first_address`: the place in the list of addresses that the attempt begins with. An address that swallows packets
    // uses up the whole attempt, so the attempt after a time-out must begin with another one.
    Connector(loop::EventLoop& loop, const ConnectionOptions& options, std::size_t first_address, Completion done);

private:
    void begin();
    void resolve_next();
    void connect();
    void poll();
    void finish(core::Result<ConnHandle> result);

    const ConnectionOptions& options_;
    const std::size_t first_address_;
    Completion done_;
    Conninfo info_;
    std::size_t next_host_ = 0;
    std::vector<HostEntry> resolved_;
    std::string lookup_failure_;
    loop::Resolver resolver_;
    ConnHandle conn_;
    loop::FdWatcher watcher_;  // depends-on: conn_
    std::unique_ptr<loop::Timer> start_timer_;
    std::unique_ptr<loop::Timer> deadline_;
};

}  // namespace messaging::pg
