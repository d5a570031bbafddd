// hiredis's asynchronous context on the loop's watchers.
#include "redis/client.h"

#include <hiredis/async.h>
#include <hiredis/hiredis.h>

#include <algorithm>
#include <deque>
#include <utility>

#include "loop/fd_watcher.h"
#include "loop/resolver.h"

namespace messaging::redis {
namespace {

core::Error unavailable(std::string message) { return {core::ErrorKind::kUnavailable, std::move(message), ""}; }

core::Result<std::string> read_reply(const redisReply* reply) {
    const std::string text(reply->str == nullptr ? "" : reply->str,
                           reply->str == nullptr ? 0 : static_cast<std::size_t>(reply->len));
    if (reply->type == REDIS_REPLY_ERROR) return core::Error{core::ErrorKind::kInternal, text, ""};
    if (reply->type == REDIS_REPLY_INTEGER) return std::to_string(reply->integer);
    return text;
}

}  // namespace

struct Client::Impl : std::enable_shared_from_this<Client::Impl> {
    Impl(loop::EventLoop& the_loop, core::Random& the_random, ClientOptions the_options, Events the_events);

    void connect();
    void open(const std::string& address);
    void greet();
    void fail(const core::Error& error);
    void send(const std::vector<std::string>& arguments, Completion done);
    void close();
    void update_watch();

    static void on_reply(redisAsyncContext* context, void* reply, void* self) noexcept;
    static void on_connect(const redisAsyncContext* context, int status) noexcept;
    static void on_disconnect(const redisAsyncContext* context, int status) noexcept;
    static void set_watch(void* self, bool Impl::*which, bool value) noexcept;

    loop::EventLoop& loop;
    core::Random& random;
    const ClientOptions options;
    Events events;
    loop::Resolver resolver;
    redisAsyncContext* context = nullptr;  // hiredis frees it: after a failed connect, a disconnect, or redisAsyncFree
    loop::FdWatcher watcher;
    std::unique_ptr<loop::Timer> deadline;  // of the connect, then of the oldest command
    std::unique_ptr<loop::Timer> reconnect_timer;
    std::deque<Completion> pending;
    std::chrono::milliseconds reconnect_delay{0};
    std::uint64_t connects = 0;
    std::size_t failed_connects = 0;  // turns through the addresses of a name: the first may not be listened on
    std::string greeting_error;
    bool wants_read = false;
    bool wants_write = false;
    bool up = false;
    bool closed = false;
};

Client::Impl::Impl(loop::EventLoop& the_loop, core::Random& the_random, ClientOptions the_options, Events the_events)
    : loop(the_loop),
      random(the_random),
      options(std::move(the_options)),
      events(std::move(the_events)),
      resolver(the_loop),
      watcher(the_loop,
              [this](loop::FdWatcher::Ready ready) {
                  const auto self = shared_from_this();
                  if (ready.readable && context != nullptr) redisAsyncHandleRead(context);
                  if (ready.writable && context != nullptr && wants_write) redisAsyncHandleWrite(context);
              }),
      deadline(the_loop.make_timer([this] {
          fail({core::ErrorKind::kTimeout, "Redis has not answered in time", ""});
      })),
      reconnect_timer(the_loop.make_timer([this] { connect(); })) {}

void Client::Impl::connect() {
    deadline->start(options.connect_timeout);
    if (!options.target.socket.empty()) {
        open("");
        return;
    }
    resolver.start_resolve(options.target.host, [this](core::Result<std::vector<std::string>> addresses) {
        if (addresses) {
            open(addresses.value()[failed_connects % addresses->size()]);
        } else {
            fail(addresses.error());
        }
    });
}

void Client::Impl::open(const std::string& address) {
    context = address.empty() ? redisAsyncConnectUnix(options.target.socket.c_str())
                              : redisAsyncConnect(address.c_str(), options.target.port);
    if (context == nullptr || context->err != 0) {
        const std::string words = context == nullptr ? "out of memory" : context->errstr;
        if (context != nullptr) redisAsyncFree(std::exchange(context, nullptr));
        fail(unavailable(words));
        return;
    }
    context->data = this;
    context->ev.data = this;
    context->ev.addRead = [](void* self) { set_watch(self, &Impl::wants_read, true); };
    context->ev.delRead = [](void* self) { set_watch(self, &Impl::wants_read, false); };
    context->ev.addWrite = [](void* self) { set_watch(self, &Impl::wants_write, true); };
    context->ev.delWrite = [](void* self) { set_watch(self, &Impl::wants_write, false); };
    context->ev.cleanup = [](void* self) {
        set_watch(self, &Impl::wants_read, false);
        set_watch(self, &Impl::wants_write, false);
    };
    redisAsyncSetConnectCallback(context, &Impl::on_connect);
    redisAsyncSetDisconnectCallback(context, &Impl::on_disconnect);
}

void Client::Impl::set_watch(void* self, bool Impl::*which, bool value) noexcept {
    auto& impl = *static_cast<Impl*>(self);
    impl.*which = value;
    impl.update_watch();
}

void Client::Impl::update_watch() {
    if (context == nullptr || (!wants_read && !wants_write)) {
        watcher.unwatch();
    } else {
        watcher.watch(context->c.fd, wants_read, wants_write);
    }
}

void Client::Impl::on_connect(const redisAsyncContext* context, int status) noexcept {
    auto& impl = *static_cast<Impl*>(context->data);
    if (impl.context != context) return;
    if (status == REDIS_OK) {
        impl.greet();
        return;
    }
    const core::Error error = unavailable(context->errstr);
    impl.watcher.unwatch();
    impl.context = nullptr;  // hiredis frees it
    impl.fail(error);
}

void Client::Impl::on_disconnect(const redisAsyncContext* context, int) noexcept {
    auto& impl = *static_cast<Impl*>(context->data);
    if (impl.context != context) return;
    const core::Error error =
        unavailable(context->errstr != nullptr && *context->errstr != '\0' ? context->errstr : "Redis closed the connection");
    impl.watcher.unwatch();
    impl.context = nullptr;  // hiredis frees it
    impl.fail(error);
}

// Who we are, which database, and whether it answers. Pipelined; an error reply to any of them ends the session.
void Client::Impl::greet() {
    greeting_error.clear();
    const auto keep_error = [this](const core::Result<std::string>& reply) {
        if (!reply && greeting_error.empty()) greeting_error = reply.error().message;
    };
    const Target& target = options.target;
    if (!target.password.empty()) {
        if (target.username.empty()) {
            send({"AUTH", target.password}, keep_error);
        } else {
            send({"AUTH", target.username, target.password}, keep_error);
        }
    }
    if (target.database != 0) send({"SELECT", std::to_string(target.database)}, keep_error);
    send({"PING"}, [this, keep_error](const core::Result<std::string>& reply) {
        keep_error(reply);
        if (!greeting_error.empty()) {
            // Not inside hiredis's reply callback: the context is freed by this.
            loop.post([weak = weak_from_this()] {
                const auto self = weak.lock();
                if (self && !self->closed && !self->up) self->fail(unavailable("Redis refused: " + self->greeting_error));
            });
            return;
        }
        up = true;
        ++connects;
        reconnect_delay = std::chrono::milliseconds(0);
        const auto on_up = events.on_up;
        if (on_up) on_up();
    });
}

// Ends the session, answers everything that is pending, and connects again later.
void Client::Impl::fail(const core::Error& error) {
    const auto self = shared_from_this();
    deadline->stop();
    resolver.cancel();
    watcher.unwatch();
    std::deque<Completion> lost;
    lost.swap(pending);
    const bool was_up = std::exchange(up, false);
    if (!was_up) ++failed_connects;
    if (redisAsyncContext* const doomed = std::exchange(context, nullptr)) redisAsyncFree(doomed);
    for (const Completion& done : lost) {
        if (closed) return;
        done(error);
    }
    if (closed) return;
    reconnect_delay = std::clamp(reconnect_delay * 2, options.reconnect_min, options.reconnect_max);
    const double jittered = static_cast<double>(reconnect_delay.count()) * (0.5 + 0.5 * random.next_unit());
    reconnect_timer->start(std::chrono::milliseconds(static_cast<std::chrono::milliseconds::rep>(jittered)));
    const auto event = was_up ? events.on_down : events.on_connect_failed;
    if (event) event(error);
}

void Client::Impl::send(const std::vector<std::string>& arguments, Completion done) {
    std::vector<const char*> values;
    std::vector<std::size_t> lengths;
    values.reserve(arguments.size());
    lengths.reserve(arguments.size());
    for (const std::string& argument : arguments) {
        values.push_back(argument.data());
        lengths.push_back(argument.size());
    }
    pending.push_back(std::move(done));
    if (pending.size() == 1) deadline->start(options.reply_timeout);
    redisAsyncCommandArgv(context, &Impl::on_reply, this, static_cast<int>(arguments.size()), values.data(), lengths.data());
}

void Client::Impl::on_reply(redisAsyncContext* context, void* reply, void* self) noexcept {
    auto& impl = *static_cast<Impl*>(self);
    // Without a reply the context is on its way out: fail() answers what is pending.
    if (reply == nullptr || impl.context != context || impl.pending.empty()) return;
    const auto keep = impl.shared_from_this();
    const Completion done = std::move(impl.pending.front());
    impl.pending.pop_front();
    if (impl.pending.empty()) {
        impl.deadline->stop();
    } else {
        impl.deadline->start(impl.options.reply_timeout);
    }
    done(read_reply(static_cast<const redisReply*>(reply)));
}

void Client::Impl::close() {
    closed = true;
    up = false;
    events = {};
    pending.clear();
    resolver.cancel();
    deadline->stop();
    reconnect_timer->stop();
    watcher.unwatch();
    if (redisAsyncContext* const doomed = std::exchange(context, nullptr)) redisAsyncFree(doomed);
}

Client::Client(loop::EventLoop& loop, core::Random& random, ClientOptions options, Events events)
    : impl_(std::make_shared<Impl>(loop, random, std::move(options), std::move(events))) {}

Client::~Client() { impl_->close(); }

// Later: a socket that is not there fails at once, and no event may come inside this call.
void Client::start() { impl_->reconnect_timer->start(std::chrono::milliseconds(0)); }

bool Client::up() const { return impl_->up; }

void Client::command(const std::vector<std::string>& arguments, Completion done) {
    if (impl_->up && impl_->context != nullptr) {
        impl_->send(arguments, std::move(done));
        return;
    }
    impl_->loop.post([weak = std::weak_ptr(impl_), done = std::move(done)] {
        const auto self = weak.lock();
        if (self && !self->closed) done(unavailable("Redis is not connected"));
    });
}

std::uint64_t Client::reconnects() const { return impl_->connects == 0 ? 0 : impl_->connects - 1; }

}  // namespace messaging::redis
