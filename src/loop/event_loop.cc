// The libevent base, its posted tasks, and deferred deletion.
#include "loop/event_loop.h"

#include <event2/event.h>
#include <event2/thread.h>
#include <pthread.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "loop/precise_timer.h"
#include "loop/timer_ev.h"

namespace messaging::loop {
namespace {

event_base* make_base() {
    // Posting from other threads needs libevent's locks, before the first base exists.
    static const int threads_ready = evthread_use_pthreads();
    // libevent and OpenSSL write to sockets that the peer has closed, without MSG_NOSIGNAL. Such a write must fail (EPIPE) and
    // not end the process.
    static const auto previous = std::signal(SIGPIPE, SIG_IGN);
    static_cast<void>(previous);
    // Watches that are changed back within one turn cost no system call; evhttp does so four times a request. It asks that no
    // descriptor be watched under two numbers: nobody here duplicates one.
    event_config* const config = threads_ready == 0 ? event_config_new() : nullptr;
    if (config == nullptr || event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST) != 0) std::abort();
    event_base* const base = event_base_new_with_config(config);
    event_config_free(config);
    if (base == nullptr) std::abort();  // no epoll: nothing can work
    return base;
}

void (*write_libevent_log)(const char*) = nullptr;

void on_libevent_log(int severity, const char* message) {
    if (severity >= EVENT_LOG_WARN) write_libevent_log(message);
}

}  // namespace

void set_libevent_log(void (*write)(const char* message)) {
    write_libevent_log = write;
    event_set_log_callback(write == nullptr ? nullptr : &on_libevent_log);
}

EventLoop::EventLoop() : base_(make_base()), wake_event_(event_new(base_.get(), -1, EV_PERSIST, &EventLoop::on_wake, this)) {
    event_add(wake_event_.get(), nullptr);
}

EventLoop::~EventLoop() {
    // What a dropped task owned may post in its destructor.
    while (!posted_.empty()) std::exchange(posted_, {}).clear();
}

void EventLoop::run() {
    thread_ = pthread_self();
    event_base_loop(base_.get(), EVLOOP_NO_EXIT_ON_EMPTY);
    thread_ = pthread_t{};
}

void EventLoop::assert_loop_thread() const {
    const pthread_t running = thread_.load(std::memory_order_relaxed);
    if (running == pthread_t{} || pthread_equal(running, pthread_self()) != 0) return;
    std::fputs("a loop was used on another thread than its own, which only post() and stop() allow\n", stderr);
    std::abort();
}

core::MonoTime EventLoop::now() { return std::chrono::steady_clock::now(); }

void EventLoop::stop() {
    post([this] { event_base_loopbreak(base_.get()); });
}

void EventLoop::post(std::function<void()> task) {
    bool was_empty = false;
    {
        const std::lock_guard lock(mutex_);
        was_empty = posted_.empty();
        posted_.push_back(std::move(task));
    }
    if (was_empty) event_active(wake_event_.get(), EV_READ, 1);
}

std::unique_ptr<Timer> EventLoop::make_timer(std::function<void()> on_fire) {
    return std::make_unique<EventTimer>(*this, std::move(on_fire));
}

std::unique_ptr<Timer> EventLoop::make_precise_timer(std::function<void()> on_fire) {
    return std::make_unique<PreciseTimer>(*this, std::move(on_fire));
}

void EventLoop::defer_delete(std::shared_ptr<void> object) {
    post([object = std::move(object)] {});
}

void EventLoop::on_wake(evutil_socket_t, short, void* self) noexcept { static_cast<EventLoop*>(self)->run_posted(); }

void EventLoop::run_posted() {
    std::vector<std::function<void()>> tasks;
    {
        const std::lock_guard lock(mutex_);
        tasks.swap(posted_);
    }
    for (auto& task : tasks) {
        task();
        task = nullptr;  // what it held goes before the next one runs
    }
}

}  // namespace messaging::loop
