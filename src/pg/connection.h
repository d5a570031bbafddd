// Connection: one PostgreSQL session on a loop: connects, pipelines, listens, and reconnects for ever.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "core/random.h"
#include "core/result.h"
#include "loop/event_loop.h"
#include "pg/params.h"
#include "pg/rows.h"
#include "pg/statement.h"

namespace messaging::pg {

struct Step {
    const Statement* statement;
    Params params;
};
// The steps of one unit of work: one pipeline with one sync, so one implicit transaction: all or nothing.
using Steps = std::vector<Step>;

struct ConnectionOptions {
    std::string url;  // conninfo or postgres:// URL; several hosts are tried in turn
    std::string application_name;
    std::vector<std::pair<std::string, std::string>> settings;  // session settings (GUCs), sent with the start-up packet
    std::chrono::milliseconds connect_timeout{5000};            // one attempt, name look-up included
    std::chrono::milliseconds reply_timeout{10000};  // after this long without an answer to a unit of work the session is cut
    // With plan_cache_mode = force_generic_plan: plans are made anew this often, because the tables grow that they were made for.
    // 0 = never. (A plan that reads the whole table is right for 200 rows, and PostgreSQL keeps it until the next ANALYZE.)
    std::chrono::milliseconds replan_period{0};
    // A unit of work beyond one of these is refused while others wait for their answers: what waits is in memory here. A unit
    // counts with the bytes of its parameters.
    std::size_t max_waiting_units = std::numeric_limits<std::size_t>::max();
    std::size_t max_waiting_bytes = std::numeric_limits<std::size_t>::max();
    std::chrono::milliseconds reconnect_min{50};   // doubled per failure, with jitter
    std::chrono::milliseconds reconnect_max{500};  // an engine is back before its old instance counts as failed
};

// Loop thread only. Destroying it drops every pending completion.
class Connection {
public:
    struct Events {
        std::function<void()> on_up;                                // the session is ready; runs again after each reconnect
        std::function<void(const core::Error&)> on_down;            // was up, is lost; pending work has failed already
        std::function<void(const core::Error&)> on_connect_failed;  // one attempt failed; another follows by itself
        std::function<void(const std::string& channel)> on_notify;
    };
    using Completion = std::function<void(core::Result<std::vector<Rows>>)>;  // one Rows per step

    Connection(loop::EventLoop& loop, core::Random& random, ConnectionOptions options, Events events);
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    // Begins to connect; call once.
    void start();
    bool up() const;
    // Of the session that is up, as the start-up packet's answer gave it; 0 while none is. Behind a connection pooler it is not
    // the process that runs the statements.
    int backend_pid() const;

    // Sends a unit of work behind those already sent. Statements are prepared on first use in each session.
    // Completes once, later, never inside this call: with every step's rows, or with the first error, in which
    // case PostgreSQL has rolled all of it back. Not up: kUnavailable. Too much waits already: kBusy. Session lost before the
    // answer: kUnavailable, reply_timeout: kTimeout; in both cases whether it was committed is unknown.
    void execute(const Steps& steps, Completion done);

    std::uint64_t reconnects() const;  // successful connects after the first

private:
    struct Impl;
    std::shared_ptr<Impl> impl_;
};

// Maps a SQLSTATE to what a caller can do (class 08, 53, 57P and 26000, 0A000, 25006, 40001, 40P01:
// kUnavailable; 57014, 55P03: kTimeout; class 22, 23: kInvalid; else kInternal).
core::ErrorKind classify_sqlstate(const std::string& sqlstate);

}  // namespace messaging::pg
