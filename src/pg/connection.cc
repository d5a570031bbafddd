// Connects, sends units of work in a pipeline, delivers their answers, and reconnects.
#include "pg/connection.h"

#include <algorithm>
#include <deque>
#include <type_traits>
#include <unordered_set>
#include <utility>

#include "core/jitter.h"
#include "loop/fd_watcher.h"
#include "pg/connector.h"
#include "pg/errors.h"

namespace messaging::pg {
namespace {

// A unit of work under way: the commands that are still to be answered, and the rows of the others.
struct UnitOfWork {
    std::deque<const Statement*> commands;  // in order; a nullptr stands for a PREPARE
    std::deque<const Statement*> prepares;  // statements this unit prepares, in order
    std::vector<Rows> rows;
    std::vector<Rows> current;  // results of the command that is being answered
    core::Result<core::Unit> outcome = core::Unit{};
    bool needs_new_session = false;
    std::size_t bytes = 0;  // of the parameters
    Connection::Completion done;
};

// A session that we gave up may live on in the server: a commit that waits for a synchronous standby is ended neither by its
// client's going nor by statement_timeout. It holds its locks and one of max_connections, so the next session ends it.
constexpr Statement kEndFormer{"end_former_sessions", R"sql(
SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
WHERE pid = ANY ($1::int[]) AND pid <> pg_catalog.pg_backend_pid() AND application_name = pg_catalog.current_setting('application_name')
  AND usename = current_user)sql"};

constexpr Statement kReplan{"discard_plans", "DISCARD PLANS"};

// By value: the callee may close the connection, and the event with it.
template <typename... Arguments>
void announce(std::function<void(Arguments...)> event, const std::type_identity_t<Arguments>&... arguments) {
    if (event) event(arguments...);
}

}  // namespace

struct Connection::Impl : std::enable_shared_from_this<Connection::Impl> {
    Impl(loop::EventLoop& the_loop, core::Random& the_random, ConnectionOptions the_options, Events the_events)
        : loop(the_loop),
          random(the_random),
          options(std::move(the_options)),
          events(std::move(the_events)),
          watcher(the_loop, [this](loop::FdWatcher::Ready) { on_socket(); }),
          reply_timer(the_loop.make_timer([this] {
              lose({core::ErrorKind::kTimeout, "PostgreSQL has not answered in time", ""});
          })),
          reconnect_timer(the_loop.make_timer([this] { connect(); })),
          replan_timer(the_loop.make_timer([this] { replan(); })) {}

    void connect();
    void on_connected(core::Result<ConnHandle> result);
    void retry_later();
    void on_socket();
    bool read_results();
    void take_result(ResultHandle result);
    void end_command();
    void end_unit();
    void deliver_notifications();
    void end_former_sessions();
    void replan();
    void lose(const core::Error& error);
    bool has_capacity(std::size_t bytes) const;
    bool send(const Steps& steps, UnitOfWork& unit);
    void execute(const Steps& steps, Completion done);
    void answer_later(Completion done, core::Error error);
    void close();

    loop::EventLoop& loop;
    core::Random& random;
    const ConnectionOptions options;
    Events events;
    std::unique_ptr<Connector> connector;
    ConnHandle conn;
    loop::FdWatcher watcher;  // depends-on: conn
    std::unique_ptr<loop::Timer> reply_timer;
    std::unique_ptr<loop::Timer> reconnect_timer;
    std::unique_ptr<loop::Timer> replan_timer;
    std::unordered_set<std::string> prepared;
    std::deque<UnitOfWork> units;
    std::size_t waiting_bytes = 0;          // of units
    std::vector<std::int32_t> former_pids;  // server processes of sessions that were given up
    std::chrono::milliseconds reconnect_delay{0};
    std::uint64_t connects = 0;
    std::size_t timed_out_connects = 0;
    bool up = false;
    bool closed = false;
};

void Connection::Impl::connect() {
    connector = std::make_unique<Connector>(loop, options, timed_out_connects, [this](core::Result<ConnHandle> result) {
        const auto self = shared_from_this();
        loop.defer_delete(std::shared_ptr<Connector>(std::move(connector)));
        on_connected(std::move(result));
    });
}

void Connection::Impl::on_connected(core::Result<ConnHandle> result) {
    if (!result) {
        if (result.error().kind == core::ErrorKind::kTimeout) ++timed_out_connects;
        retry_later();
        announce(events.on_connect_failed, result.error());
        return;
    }
    conn = std::move(result.value());
    if (PQsetnonblocking(conn.get(), 1) != 0 || PQenterPipelineMode(conn.get()) != 1) {
        const core::Error error = connection_error(conn.get());
        conn.reset();
        retry_later();
        announce(events.on_connect_failed, error);
        return;
    }
    prepared.clear();
    reconnect_delay = std::chrono::milliseconds(0);
    ++connects;
    up = true;
    watcher.watch(PQsocket(conn.get()), true, false);
    end_former_sessions();
    if (options.replan_period.count() > 0) replan_timer->start(options.replan_period);
    announce(events.on_up);
}

void Connection::Impl::replan() {
    if (!up) return;  // the next session begins without plans
    execute({{&kReplan, {}}}, [weak = weak_from_this()](const auto&) {
        if (const auto self = weak.lock()) self->replan_timer->start(self->options.replan_period);
    });
}

void Connection::Impl::end_former_sessions() {
    if (former_pids.empty()) return;
    Params params;
    params.integer_array(std::span<const std::int32_t>(former_pids));
    execute({{&kEndFormer, std::move(params)}}, [weak = weak_from_this(), pids = former_pids](const auto& ended) {
        const auto self = weak.lock();
        if (self && ended.ok())
            std::erase_if(self->former_pids, [&](int pid) { return std::find(pids.begin(), pids.end(), pid) != pids.end(); });
    });
}

void Connection::Impl::retry_later() {
    reconnect_delay = std::clamp(reconnect_delay * 2, options.reconnect_min, options.reconnect_max);
    reconnect_timer->start(core::jittered(reconnect_delay, 0.5, 1.0, random));
}

void Connection::Impl::on_socket() {
    const auto self = shared_from_this();
    const bool consumed = PQconsumeInput(conn.get()) == 1;
    if (!read_results() || !up) return;
    if (!consumed || PQstatus(conn.get()) == CONNECTION_BAD) {
        lose(connection_error(conn.get()));
        return;
    }
    deliver_notifications();
    if (!up) return;
    const int unsent = PQflush(conn.get());
    if (unsent < 0) {
        lose(connection_error(conn.get()));
    } else {
        watcher.watch(PQsocket(conn.get()), true, unsent == 1);
    }
}

// False when a completion has closed this connection.
bool Connection::Impl::read_results() {
    while (up && !units.empty() && PQisBusy(conn.get()) == 0) {
        ResultHandle result(PQgetResult(conn.get()));
        if (!result) {
            if (PQstatus(conn.get()) == CONNECTION_BAD) return true;
            end_command();
        } else if (PQresultStatus(result.get()) == PGRES_PIPELINE_SYNC) {
            end_unit();
        } else {
            take_result(std::move(result));
        }
    }
    return !closed;
}

void Connection::Impl::take_result(ResultHandle result) {
    UnitOfWork& unit = units.front();
    switch (PQresultStatus(result.get())) {
        case PGRES_COMMAND_OK:
        case PGRES_TUPLES_OK: unit.current.emplace_back(std::move(result)); break;
        case PGRES_PIPELINE_ABORTED: break;  // skipped because of an earlier error, which is kept
        default:
            if (unit.outcome) {
                unit.outcome = result_error(result.get());
                unit.needs_new_session = needs_new_session(result.get());
            }
            break;
    }
}

void Connection::Impl::end_command() {
    UnitOfWork& unit = units.front();
    if (unit.commands.empty()) return;
    const Statement* const statement = unit.commands.front();
    unit.commands.pop_front();
    const bool succeeded = !unit.current.empty();
    if (statement == nullptr) {
        if (!succeeded) prepared.erase(unit.prepares.front()->name);
        unit.prepares.pop_front();
    } else if (succeeded) {
        unit.rows.push_back(std::move(unit.current.back()));
    }
    unit.current.clear();
}

void Connection::Impl::end_unit() {
    UnitOfWork unit = std::move(units.front());
    units.pop_front();
    waiting_bytes -= unit.bytes;
    if (units.empty()) {
        reply_timer->stop();
    } else {
        reply_timer->start(options.reply_timeout);
    }
    if (unit.outcome) {
        unit.done(std::move(unit.rows));
        return;
    }
    const core::Error error = unit.outcome.error();
    if (unit.needs_new_session) {
        loop.post([weak = weak_from_this(), error] {
            if (const auto self = weak.lock()) self->lose(error);
        });
    }
    unit.done(error);
}

void Connection::Impl::deliver_notifications() {
    struct NotifyDeleter {
        void operator()(PGnotify* notify) const { PQfreemem(notify); }
    };
    while (up) {
        const std::unique_ptr<PGnotify, NotifyDeleter> notify(PQnotifies(conn.get()));
        if (!notify) return;
        announce(events.on_notify, std::string(notify->relname));
    }
}

void Connection::Impl::lose(const core::Error& error) {
    const auto self = shared_from_this();
    if (!up) return;
    up = false;
    reply_timer->stop();
    watcher.unwatch();
    former_pids.push_back(PQbackendPID(conn.get()));
    conn.reset();
    std::deque<UnitOfWork> lost;
    lost.swap(units);
    waiting_bytes = 0;
    for (UnitOfWork& unit : lost) {
        if (closed) return;
        unit.done(unit.outcome ? error : unit.outcome.error());
    }
    if (closed) return;
    retry_later();
    announce(events.on_down, error);
}

// While nothing waits, a unit of any size is taken.
bool Connection::Impl::has_capacity(std::size_t bytes) const {
    if (units.empty()) return true;
    return units.size() < options.max_waiting_units &&
           bytes <= options.max_waiting_bytes - std::min(waiting_bytes, options.max_waiting_bytes);
}

// False: libpq refused, which it does on a broken session only.
bool Connection::Impl::send(const Steps& steps, UnitOfWork& unit) {
    bool sent = true;
    // All preparing comes first, where no failed step can take a statement away from the units behind this one.
    for (const Step& step : steps) {
        const Statement& statement = *step.statement;
        if (!prepared.insert(statement.name).second) continue;
        sent = sent && PQsendPrepare(conn.get(), statement.name, statement.sql, 0, nullptr) == 1;
        unit.commands.push_back(nullptr);
        unit.prepares.push_back(&statement);
    }
    for (const Step& step : steps) {
        const Statement& statement = *step.statement;
        std::vector<const char*> values;
        std::vector<int> lengths;
        std::vector<int> formats;
        for (const Params::Value& value : step.params.values()) {
            values.push_back(value.is_null ? nullptr : value.bytes.c_str());
            lengths.push_back(static_cast<int>(value.bytes.size()));
            formats.push_back(value.binary ? 1 : 0);
        }
        sent = sent && PQsendQueryPrepared(conn.get(), statement.name, step.params.count(), values.data(), lengths.data(),
                                           formats.data(), 0) == 1;
        unit.commands.push_back(&statement);
    }
    return sent && PQpipelineSync(conn.get()) == 1;
}

void Connection::Impl::execute(const Steps& steps, Completion done) {
    if (!up) {
        answer_later(std::move(done), {core::ErrorKind::kUnavailable, "PostgreSQL is not connected", ""});
        return;
    }
    std::size_t bytes = 0;
    for (const Step& step : steps) bytes += step.params.bytes();
    if (!has_capacity(bytes)) {
        answer_later(std::move(done), {core::ErrorKind::kBusy, "too many requests wait for PostgreSQL", ""});
        return;
    }
    UnitOfWork unit;
    unit.done = std::move(done);
    unit.bytes = bytes;
    waiting_bytes += bytes;
    const bool sent = send(steps, unit);
    units.push_back(std::move(unit));
    if (units.size() == 1) reply_timer->start(options.reply_timeout);
    const int unsent = sent ? PQflush(conn.get()) : -1;
    if (unsent < 0) {
        loop.post([weak = weak_from_this(), error = connection_error(conn.get())] {
            if (const auto self = weak.lock()) self->lose(error);
        });
        return;
    }
    watcher.watch(PQsocket(conn.get()), true, unsent == 1);
}

void Connection::Impl::answer_later(Completion done, core::Error error) {
    loop.post([weak = weak_from_this(), done = std::move(done), error = std::move(error)] {
        const auto self = weak.lock();
        if (self && !self->closed) done(error);
    });
}

void Connection::Impl::close() {
    closed = true;
    up = false;
    units.clear();
    waiting_bytes = 0;
    events = {};
    connector.reset();
    reply_timer->stop();
    reconnect_timer->stop();
    watcher.unwatch();
    conn.reset();
}

Connection::Connection(loop::EventLoop& loop, core::Random& random, ConnectionOptions options, Events events)
    : impl_(std::make_shared<Impl>(loop, random, std::move(options), std::move(events))) {}

Connection::~Connection() { impl_->close(); }

void Connection::start() { impl_->connect(); }

bool Connection::up() const { return impl_->up; }

int Connection::backend_pid() const { return impl_->up ? PQbackendPID(impl_->conn.get()) : 0; }

void Connection::execute(const Steps& steps, Completion done) {
    impl_->loop.assert_loop_thread();
    impl_->execute(steps, std::move(done));
}

std::uint64_t Connection::reconnects() const { return impl_->connects == 0 ? 0 : impl_->connects - 1; }

}  // namespace messaging::pg
