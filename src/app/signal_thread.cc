// Reads signals from a signalfd, on a thread that does nothing else.
#include "app/signal_thread.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <utility>

namespace messaging::app {
namespace {

constexpr int kSecondSignalExit = 130;

sigset_t ending_signals() {
    sigset_t signals;
    sigemptyset(&signals);
    for (const int one : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, one);
    return signals;
}

int signal_descriptor() {
    const sigset_t signals = ending_signals();
    return signalfd(-1, &signals, SFD_CLOEXEC);
}

}  // namespace

void SignalThread::block_signals() {
    const sigset_t signals = ending_signals();
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

SignalThread::SignalThread(loop::EventLoop& loop, std::function<void()> on_first)
    : loop_(loop), on_first_(std::move(on_first)), signals_(signal_descriptor()), ending_(eventfd(0, EFD_CLOEXEC)) {
    if (signals_ < 0 || ending_ < 0) std::abort();  // no descriptors: nothing can work
    thread_ = std::thread([this] { run(); });
}

SignalThread::~SignalThread() {
    static_cast<void>(eventfd_write(ending_, 1));
    thread_.join();
    close(signals_);
    close(ending_);
}

void SignalThread::run() {
    pthread_setname_np(pthread_self(), "signals");
    bool stopping = false;
    std::array<pollfd, 2> waiting{pollfd{signals_, POLLIN, 0}, pollfd{ending_, POLLIN, 0}};
    for (;;) {
        if (poll(waiting.data(), waiting.size(), -1) < 0) continue;
        if (waiting[1].revents != 0) return;
        signalfd_siginfo signal{};
        if (read(signals_, &signal, sizeof signal) != sizeof signal) continue;
        const bool terminal_has_gone = signal.ssi_signo == static_cast<std::uint32_t>(SIGHUP);
        if (!std::exchange(stopping, true)) {
            loop_.post(on_first_);
        } else if (!terminal_has_gone) {
            _exit(kSecondSignalExit);
        }
    }
}

}  // namespace messaging::app
