// EventLoop: one libevent base, run by one thread.
#pragma once

#include <pthread.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "core/clock.h"
#include "loop/handles.h"
#include "loop/timer.h"

namespace messaging::loop {

// Owned by the thread that calls run(); everything is "loop thread only" except post() and stop().
class EventLoop : public TimerFactory {
public:
    EventLoop();
    ~EventLoop() override;
    EventLoop(const EventLoop&) = delete;
    EventLoop& operator=(const EventLoop&) = delete;

    // Runs until stop(). Tasks posted before run() are executed by it.
    void run();
    // Any thread: run() returns after the callbacks now active.
    void stop();
    // Any thread: executes `task` once on the loop thread, in order of posting, never inside this call.
    // Tasks still waiting when the loop is destroyed are dropped unexecuted.
    void post(std::function<void()> task);
    // Destroys `object` after the callback now running has returned (loop rule 5 in src/README.md).
    void defer_delete(std::shared_ptr<void> object);

    std::unique_ptr<Timer> make_timer(std::function<void()> on_fire) override;
    std::unique_ptr<Timer> make_precise_timer(std::function<void()> on_fire) override;

    event_base* base() const { return base_.get(); }

    // Ends the process, with a message, when it is called on another thread while the loop runs. Whatever says "loop thread only"
    // calls it where it enters the loop: watchers, timers, and the calls of sessions and clients.
    void assert_loop_thread() const;
    // The monotonic time, for what measures the loop itself. Everything that decides something is given a core::Clock.
    static core::MonoTime now();

private:
    static void on_wake(evutil_socket_t, short, void* self) noexcept;
    void run_posted();

    std::atomic<pthread_t> thread_{};  // the one in run(); none while the loop does not run
    EventBaseHandle base_;
    EventHandle wake_event_;  // depends-on: base_
    std::mutex mutex_;        // guards posted_
    std::vector<std::function<void()>> posted_;
};

// libevent's own messages go to `write` instead of to standard error. Set it before threads start; any thread calls it.
void set_libevent_log(void (*write)(const char* message));

}  // namespace messaging::loop
