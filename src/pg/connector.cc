// Looks names up, and connects with PQconnectStart and PQconnectPoll.
#include "pg/connector.h"

#include <algorithm>
#include <utility>

#include "pg/errors.h"

namespace messaging::pg {

Connector::Connector(loop::EventLoop& loop, const ConnectionOptions& options, std::size_t first_address, Completion done)
    : options_(options),
      first_address_(first_address),
      done_(std::move(done)),
      resolver_(loop),
      watcher_(loop, [this](loop::FdWatcher::Ready) { poll(); }),
      start_timer_(loop.make_timer([this] { begin(); })),
      deadline_(loop.make_timer([this] {
          finish(core::Error{core::ErrorKind::kTimeout, "no answer to the connection attempt in time"});
      })) {
    start_timer_->start(std::chrono::milliseconds(0));
    deadline_->start(options.connect_timeout);
}

void Connector::begin() {
    auto info = parse_conninfo(options_.url);
    if (!info) {
        finish(info.error());
        return;
    }
    info_ = std::move(info.value());
    resolve_next();
}

void Connector::resolve_next() {
    while (next_host_ < info_.hosts.size() && !info_.hosts[next_host_].needs_lookup()) {
        resolved_.push_back(info_.hosts[next_host_++]);
    }
    if (next_host_ == info_.hosts.size()) {
        connect();
        return;
    }
    const HostEntry& entry = info_.hosts[next_host_];
    resolver_.start_resolve(entry.host, [this](core::Result<std::vector<std::string>> addresses) {
        const HostEntry& looked_up = info_.hosts[next_host_++];
        if (addresses) {
            for (const std::string& address : addresses.value()) {
                resolved_.push_back({looked_up.host, address, looked_up.port});
            }
        } else {
            lookup_failure_ = addresses.error().message;
        }
        resolve_next();
    });
}

void Connector::connect() {
    if (resolved_.empty()) {
        finish(core::Error{core::ErrorKind::kUnavailable, lookup_failure_});
        return;
    }
    std::rotate(resolved_.begin(), resolved_.begin() + static_cast<std::ptrdiff_t>(first_address_ % resolved_.size()),
                resolved_.end());
    const auto parameters = connect_parameters(info_, resolved_, options_);
    std::vector<const char*> keywords;
    std::vector<const char*> values;
    for (const auto& [keyword, value] : parameters) {
        keywords.push_back(keyword.c_str());
        values.push_back(value.c_str());
    }
    keywords.push_back(nullptr);
    values.push_back(nullptr);
    conn_.reset(PQconnectStartParams(keywords.data(), values.data(), 0));
    if (!conn_ || PQstatus(conn_.get()) == CONNECTION_BAD) {
        finish(connection_error(conn_.get()));
        return;
    }
    // libpq would print what the server remarks on (a warning at each connect, for example) to stderr, and wait for whoever reads
    // that.
    PQsetNoticeReceiver(
        conn_.get(), [](void*, const PGresult*) {}, nullptr);
    watcher_.watch(PQsocket(conn_.get()), false, true);
}

void Connector::poll() {
    // libpq may close the socket and open another under the same number: the watcher goes first, and comes back anew.
    watcher_.unwatch();
    switch (PQconnectPoll(conn_.get())) {
        case PGRES_POLLING_READING: watcher_.watch(PQsocket(conn_.get()), true, false); break;
        case PGRES_POLLING_WRITING: watcher_.watch(PQsocket(conn_.get()), false, true); break;
        case PGRES_POLLING_OK: finish(std::move(conn_)); break;
        default: finish(connection_error(conn_.get())); break;
    }
}

void Connector::finish(core::Result<ConnHandle> result) {
    watcher_.unwatch();
    deadline_->stop();
    resolver_.cancel();
    const Completion done = std::move(done_);
    done(std::move(result));  // may destroy this connector
}

}  // namespace messaging::pg
