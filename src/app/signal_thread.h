// SignalThread: ends the process at the second signal, whatever its loops do.
#pragma once

#include <functional>
#include <thread>

#include "loop/event_loop.h"

namespace messaging::app {

// A blocked loop (by a log that nobody reads, for example) handles no signals. So a separate thread takes the signals: the
// first SIGTERM, SIGINT or SIGHUP calls `on_first` on the loop; a SIGTERM or SIGINT behind it is the end, status 130.
class SignalThread {
public:
    // For the calling thread and all that it starts from now on: call it before there are others.
    static void block_signals();

    SignalThread(loop::EventLoop& loop, std::function<void()> on_first);
    ~SignalThread();
    SignalThread(const SignalThread&) = delete;
    SignalThread& operator=(const SignalThread&) = delete;

private:
    void run();

    loop::EventLoop& loop_;
    const std::function<void()> on_first_;
    const int signals_;  // a signalfd
    const int ending_;   // an eventfd
    std::thread thread_;
};

}  // namespace messaging::app
