// Connects, formats commands and reads replies with hiredis, and keeps its own queue of commands. hiredis's asynchronous part is
// not used: it ends the process (assert) when the server sends a reply to no command.
#include "redis/client.h"

#include <hiredis/hiredis.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <deque>
#include <system_error>
#include <utility>

#include "core/jitter.h"
#include "loop/fd_watcher.h"
#include "loop/resolver.h"

namespace messaging::redis {
namespace {

constexpr std::size_t kReadBytes = 16u << 10;
constexpr int kMaxReads = 16;  // in one turn of the loop

core::Error unavailable(std::string message) { return {core::ErrorKind::kUnavailable, std::move(message)}; }
std::string words_of(int error) { return std::generic_category().message(error); }

struct ContextDeleter {
    void operator()(redisContext* context) const { redisFree(context); }
};
struct ReplyDeleter {
    void operator()(redisReply* reply) const { freeReplyObject(reply); }
};

// A template, because the type of the size has changed from one hiredis to the next.
template <typename Size>
void* refuse_array(const redisReadTask*, Size) noexcept {
    return nullptr;
}

// None of our commands is answered with an array, and its first 14 bytes can ask for 16 GB.
redisReplyObjectFunctions* without_arrays(const redisReplyObjectFunctions& usual) {
    static redisReplyObjectFunctions functions = [&usual] {
        redisReplyObjectFunctions copy = usual;
        copy.createArray = &refuse_array;
        return copy;
    }();
    return &functions;
}

core::Result<std::string> read_reply(const redisReply* reply) {
    const std::string text(reply->str == nullptr ? "" : reply->str,
                           reply->str == nullptr ? 0 : static_cast<std::size_t>(reply->len));
    if (reply->type == REDIS_REPLY_ERROR)
        return core::Error{core::ErrorKind::kInternal, text.empty() ? "an error without a message" : text};
    if (reply->type == REDIS_REPLY_INTEGER) return std::to_string(reply->integer);
    return text;
}

}  // namespace

struct Client::Impl : std::enable_shared_from_this<Client::Impl> {
    using Context = std::unique_ptr<redisContext, ContextDeleter>;

    Impl(loop::EventLoop& the_loop, core::Random& the_random, ClientOptions the_options, Events the_events);

    void connect();
    void open(const std::string& address);
    void on_ready(loop::FdWatcher::Ready ready);
    void finish_connect();
    void greet();
    void read();
    bool take_replies();
    void write();
    void answer(const redisReply* reply);
    void fail(const core::Error& error);
    void send(const std::vector<std::string>& arguments, Completion done);
    void close();
    void update_watch();

    loop::EventLoop& loop;
    core::Random& random;
    const ClientOptions options;
    Events events;
    loop::Resolver resolver;
    Context context;
    loop::FdWatcher watcher;
    std::unique_ptr<loop::Timer> deadline;  // of the connect, then of the oldest command
    std::unique_ptr<loop::Timer> reconnect_timer;
    std::deque<Completion> pending;
    std::string unsent;
    std::size_t reply_bytes = 0;  // read since the last whole reply
    std::chrono::milliseconds reconnect_delay{0};
    std::uint64_t connects = 0;
    std::size_t failed_connects = 0;  // turns through the addresses of a name: the first may not be listened on
    std::string greeting_error;
    bool connecting = false;
    bool up = false;
    bool closed = false;
};

Client::Impl::Impl(loop::EventLoop& the_loop, core::Random& the_random, ClientOptions the_options, Events the_events)
    : loop(the_loop),
      random(the_random),
      options(std::move(the_options)),
      events(std::move(the_events)),
      resolver(the_loop),
      watcher(the_loop, [this](loop::FdWatcher::Ready ready) { on_ready(ready); }),
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
    context.reset(address.empty() ? redisConnectUnixNonBlock(options.target.socket.c_str())
                                  : redisConnectNonBlock(address.c_str(), options.target.port));
    if (!context || context->err != 0) {
        fail(unavailable(context ? context->errstr : "out of memory"));
        return;
    }
    context->reader->fn = without_arrays(*context->reader->fn);
    connecting = true;
    update_watch();
}

void Client::Impl::update_watch() {
    if (context) watcher.watch(context->fd, !connecting, connecting || !unsent.empty());
}

void Client::Impl::on_ready(loop::FdWatcher::Ready ready) {
    const auto self = shared_from_this();
    if (connecting) return finish_connect();
    if (ready.readable) read();
    if (ready.writable && context && !connecting) write();
}

void Client::Impl::finish_connect() {
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(context->fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) error = errno;
    if (error != 0) return fail(unavailable(words_of(error)));
    connecting = false;
    greet();
    update_watch();
}

// Who we are, which database, and whether it is Redis. Pipelined; any other answer to any of them ends the session.
void Client::Impl::greet() {
    greeting_error.clear();
    const auto expect = [this](const std::string& expected) {
        return [this, expected](const core::Result<std::string>& reply) {
            if (!greeting_error.empty()) return;
            if (!reply) {
                greeting_error = "Redis refused: " + reply.error().message;
            } else if (reply.value() != expected) {
                greeting_error = "the server at this address does not answer as Redis does";
            }
        };
    };
    const Target& target = options.target;
    if (!target.password.empty()) {
        std::vector<std::string> command{"AUTH", target.password};
        if (!target.username.empty()) command.insert(command.begin() + 1, target.username);
        send(command, expect("OK"));
    }
    if (target.database != 0) send({"SELECT", std::to_string(target.database)}, expect("OK"));
    send({"PING"}, [this, check = expect("PONG")](const core::Result<std::string>& reply) {
        if (!context) return;  // the session ended before
        check(reply);
        if (!greeting_error.empty()) {
            fail(unavailable(greeting_error));
            return;
        }
        up = true;
        ++connects;
        reconnect_delay = std::chrono::milliseconds(0);
        const auto on_up = events.on_up;
        if (on_up) on_up();
    });
}

void Client::Impl::read() {
    std::array<char, kReadBytes> bytes{};
    for (int reads = 0; reads < kMaxReads; ++reads) {
        const ssize_t count = recv(context->fd, bytes.data(), bytes.size(), MSG_DONTWAIT);
        if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return;
        if (count < 0) return fail(unavailable(words_of(errno)));
        if (count == 0) return fail(unavailable("Redis closed the connection"));
        reply_bytes += static_cast<std::size_t>(count);
        redisReaderFeed(context->reader, bytes.data(), static_cast<std::size_t>(count));
        if (!take_replies()) return;
        if (reply_bytes > options.max_reply_bytes) return fail(unavailable("Redis sent a reply that is longer than allowed"));
        if (count < static_cast<ssize_t>(bytes.size())) return;
    }
}

// False: this session has ended.
bool Client::Impl::take_replies() {
    const redisContext* const session = context.get();
    for (;;) {
        void* taken = nullptr;
        if (redisReaderGetReply(context->reader, &taken) != REDIS_OK) {
            const bool array = context->reader->err == REDIS_ERR_OOM;
            fail(unavailable(array ? "Redis answers with an array, which no command of ours asks for" : context->reader->errstr));
            return false;
        }
        if (taken == nullptr) return true;
        const std::unique_ptr<redisReply, ReplyDeleter> reply(static_cast<redisReply*>(taken));
        reply_bytes = context->reader->len - context->reader->pos;
        if (pending.empty()) {
            fail(unavailable("Redis sent a reply to no command"));
            return false;
        }
        answer(reply.get());
        if (context.get() != session || closed) return false;
    }
}

void Client::Impl::answer(const redisReply* reply) {
    const Completion done = std::move(pending.front());
    pending.pop_front();
    if (pending.empty()) {
        deadline->stop();
    } else {
        deadline->start(options.reply_timeout);
    }
    done(read_reply(reply));
}

void Client::Impl::write() {
    const ssize_t count = ::send(context->fd, unsent.data(), unsent.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) return fail(unavailable(words_of(errno)));
    if (count > 0) unsent.erase(0, static_cast<std::size_t>(count));
    update_watch();
}

// Ends the session, answers everything that is pending, and connects again later.
void Client::Impl::fail(const core::Error& error) {
    const auto self = shared_from_this();
    deadline->stop();
    resolver.cancel();
    watcher.unwatch();
    std::deque<Completion> lost;
    lost.swap(pending);
    unsent.clear();
    reply_bytes = 0;
    connecting = false;
    const bool was_up = std::exchange(up, false);
    if (!was_up) ++failed_connects;
    context.reset();
    for (const Completion& done : lost) {
        if (closed) return;
        if (done) done(error);
    }
    if (closed) return;
    reconnect_delay = std::clamp(reconnect_delay * 2, options.reconnect_min, options.reconnect_max);
    reconnect_timer->start(core::jittered(reconnect_delay, 0.5, 1.0, random));
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
    char* formatted = nullptr;
    const int size = redisFormatCommandArgv(&formatted, static_cast<int>(values.size()), values.data(), lengths.data());
    if (size < 0) std::abort();  // out of memory
    unsent.append(formatted, static_cast<std::size_t>(size));
    redisFreeCommand(formatted);
    pending.push_back(std::move(done));
    if (pending.size() == 1) deadline->start(options.reply_timeout);
    update_watch();
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
    context.reset();
}

Client::Client(loop::EventLoop& loop, core::Random& random, ClientOptions options, Events events)
    : impl_(std::make_shared<Impl>(loop, random, std::move(options), std::move(events))) {}

Client::~Client() { impl_->close(); }

// Later: a socket that is not there fails at once, and no event may come inside this call.
void Client::start() { impl_->reconnect_timer->start(std::chrono::milliseconds(0)); }

bool Client::up() const { return impl_->up; }

void Client::command(const std::vector<std::string>& arguments, Completion done) {
    impl_->loop.assert_loop_thread();
    if (impl_->up && impl_->context) {
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
