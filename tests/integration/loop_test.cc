// The loop on real descriptors, real time and real signals.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "loop/event_loop.h"
#include "loop/fd_watcher.h"
#include "loop/resolver.h"
#include "loop/signals.h"
#include "support/loop_runner.h"

namespace messaging::loop {
namespace {

using std::chrono_literals::operator""ms;
using test::run_once;
using test::run_until;

TEST(EventLoopDeathTest, AnotherThreadThatUsesARunningLoopEndsTheProcess) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EventLoop loop;
    const auto timer = loop.make_timer([] {});
    std::atomic<bool> runs{false};
    loop.post([&] { runs = true; });
    std::thread thread([&] { loop.run(); });
    while (!runs) std::this_thread::yield();
    EXPECT_DEATH(
        {
            EventLoop other;
            std::atomic<bool> other_runs{false};
            const auto others = other.make_timer([] {});
            other.post([&] { other_runs = true; });
            std::thread runner([&] { other.run(); });
            while (!other_runs) std::this_thread::yield();
            others->start(1ms);
        },
        "on another thread than its own");
    loop.stop();
    thread.join();
    timer->start(1ms);  // it does not run any more: whoever owns it may take it apart
}

TEST(EventLoop, RunsPostedTasksInOrderAndNeverInsidePost) {
    EventLoop loop;
    std::vector<int> order;
    loop.post([&] {
        loop.post([&] { order.push_back(3); });
        order.push_back(1);
    });
    loop.post([&] { order.push_back(2); });
    EXPECT_TRUE(order.empty());
    ASSERT_TRUE(run_until(loop, [&] { return order.size() == 3; }));
    EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
}

TEST(EventLoop, AcceptsPostsFromManyThreadsWhileItRuns) {
    constexpr int kThreads = 4;
    constexpr int kPosts = 2000;
    EventLoop loop;
    int count = 0;  // loop thread only
    std::thread runner([&] { loop.run(); });
    std::vector<std::thread> posters;
    for (int i = 0; i < kThreads; ++i) {
        posters.emplace_back([&] {
            for (int j = 0; j < kPosts; ++j) {
                loop.post([&] {
                    if (++count == kThreads * kPosts) loop.stop();
                });
            }
        });
    }
    for (auto& poster : posters) poster.join();
    runner.join();
    EXPECT_EQ(count, kThreads * kPosts);
}

TEST(EventLoop, StopBeforeRunEndsTheRun) {
    EventLoop loop;
    bool ran = false;
    loop.post([&] { ran = true; });
    loop.stop();
    loop.run();
    EXPECT_TRUE(ran);
}

TEST(EventLoop, DropsWhatWaitsWhenItIsDestroyed) {
    auto held = std::make_shared<int>(1);
    const std::weak_ptr<int> watch = held;
    bool ran = false;
    {
        EventLoop loop;
        loop.post([&ran, held = std::move(held)] { ran = true; });
    }
    EXPECT_FALSE(ran);
    EXPECT_TRUE(watch.expired());
}

TEST(EventLoop, DefersDeletionUntilTheCallbackHasReturned) {
    EventLoop loop;
    auto object = std::make_shared<int>(1);
    const std::weak_ptr<int> watch = object;
    bool alive_inside = false;
    loop.post([&] {
        loop.defer_delete(std::move(object));
        alive_inside = !watch.expired();
    });
    ASSERT_TRUE(run_until(loop, [&] { return watch.expired(); }));
    EXPECT_TRUE(alive_inside);
}

// Of both kinds: libevent's, and the precise one.
class Timers : public testing::TestWithParam<bool> {
protected:
    std::unique_ptr<Timer> make(std::function<void()> on_fire) {
        return GetParam() ? loop.make_precise_timer(std::move(on_fire)) : loop.make_timer(std::move(on_fire));
    }
    EventLoop loop;
};
INSTANTIATE_TEST_SUITE_P(Timer, Timers, testing::Bool());

TEST_P(Timers, FiresOnceAfterItsDelay) {
    int fired = 0;
    const auto timer = make([&] { ++fired; });
    const auto begin = std::chrono::steady_clock::now();
    timer->start(30ms);
    EXPECT_TRUE(timer->armed());
    ASSERT_TRUE(run_until(loop, [&] { return fired == 1; }));
    EXPECT_GE(std::chrono::steady_clock::now() - begin, 25ms);
    EXPECT_FALSE(timer->armed());
    bool later = false;
    const auto after = make([&] { later = true; });
    after->start(60ms);
    ASSERT_TRUE(run_until(loop, [&] { return later; }));
    EXPECT_EQ(fired, 1);
}

TEST_P(Timers, StartingAgainForgetsTheEarlierArming) {
    std::vector<int> order;
    const auto first = make([&] { order.push_back(1); });
    const auto second = make([&] { order.push_back(2); });
    first->start(5ms);
    second->start(20ms);
    first->start(60ms);
    ASSERT_TRUE(run_until(loop, [&] { return order.size() == 2; }));
    EXPECT_EQ(order, (std::vector<int>{2, 1}));
}

TEST_P(Timers, MayBeStoppedOrDestroyedAtAnyTimeAlsoByItself) {
    int fired = 0;
    const auto stopped = make([&] { fired += 10; });
    stopped->start(1ms);
    stopped->stop();
    std::unique_ptr<Timer> self;
    const std::string captured = "long enough to live on the heap, and read after the timer is gone";
    std::string seen;
    self = make([&, captured] {
        ++fired;
        self.reset();
        seen = captured;
    });
    self->start(5ms);
    ASSERT_TRUE(run_until(loop, [&] { return fired > 0; }));
    EXPECT_EQ(fired, 1);
    EXPECT_EQ(seen, captured);
}

class Pair {
public:
    Pair() { EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends_.data()), 0); }
    ~Pair() {
        close(ends_[0]);
        close(ends_[1]);
    }
    Pair(const Pair&) = delete;
    Pair& operator=(const Pair&) = delete;
    int near() const { return ends_[0]; }
    int far() const { return ends_[1]; }

private:
    std::array<int, 2> ends_{};
};

TEST(FdWatcher, TellsReadingFromWriting) {
    EventLoop loop;
    const Pair pair;
    std::vector<FdWatcher::Ready> seen;
    FdWatcher watcher(loop, [&](FdWatcher::Ready ready) { seen.push_back(ready); });
    watcher.watch(pair.near(), true, false);
    run_once(loop);
    EXPECT_TRUE(seen.empty());
    ASSERT_EQ(write(pair.far(), "x", 1), 1);
    ASSERT_TRUE(run_until(loop, [&] { return !seen.empty(); }));
    EXPECT_TRUE(seen[0].readable);
    EXPECT_FALSE(seen[0].writable);
    watcher.watch(pair.near(), false, true);
    seen.clear();
    ASSERT_TRUE(run_until(loop, [&] { return !seen.empty(); }));
    EXPECT_FALSE(seen[0].readable);
    EXPECT_TRUE(seen[0].writable);
    watcher.unwatch();
    seen.clear();
    run_once(loop);
    EXPECT_TRUE(seen.empty());
}

TEST(FdWatcher, MayBeDestroyedByItsOwnCallback) {
    EventLoop loop;
    const Pair pair;
    std::unique_ptr<FdWatcher> watcher;
    int called = 0;
    watcher = std::make_unique<FdWatcher>(loop, [&](FdWatcher::Ready) {
        watcher.reset();
        ++called;
    });
    watcher->watch(pair.near(), false, true);
    ASSERT_TRUE(run_until(loop, [&] { return called > 0; }));
    run_once(loop);
    EXPECT_EQ(called, 1);
}

TEST(SignalWatcher, TurnsASignalIntoACallback) {
    EventLoop loop;
    int received = 0;
    const SignalWatcher watcher(loop, SIGUSR1, [&] { ++received; });
    ASSERT_EQ(kill(getpid(), SIGUSR1), 0);
    EXPECT_TRUE(run_until(loop, [&] { return received == 1; }));
}

using Addresses = core::Result<std::vector<std::string>>;

TEST(Resolver, AnswersANumericAddressAsItIsButNotAtOnce) {
    EventLoop loop;
    Resolver resolver(loop);
    std::optional<Addresses> answer;
    resolver.start_resolve("192.0.2.7", [&](Addresses result) { answer = std::move(result); });
    EXPECT_FALSE(answer);
    ASSERT_TRUE(run_until(loop, [&] { return answer.has_value(); }));
    ASSERT_TRUE(answer->ok());
    EXPECT_EQ(answer->value(), std::vector<std::string>{"192.0.2.7"});
}

TEST(Resolver, FindsNamesOfTheHostsFile) {
    EventLoop loop;
    Resolver resolver(loop);
    std::optional<Addresses> answer;
    resolver.start_resolve("localhost", [&](Addresses result) { answer = std::move(result); });
    EXPECT_FALSE(answer);
    ASSERT_TRUE(run_until(loop, [&] { return answer.has_value(); }));
    ASSERT_TRUE(answer->ok()) << answer->error().message;
    const auto& addresses = answer->value();
    EXPECT_NE(std::find(addresses.begin(), addresses.end(), "127.0.0.1"), addresses.end());
}

TEST(Resolver, ACancelledOrReplacedLookUpStaysSilent) {
    EventLoop loop;
    Resolver resolver(loop);
    bool dropped = false;
    std::optional<Addresses> answer;
    resolver.start_resolve("localhost", [&](const Addresses&) { dropped = true; });
    resolver.start_resolve("no-such-name.invalid", [&](const Addresses&) { dropped = true; });
    resolver.start_resolve("127.0.0.1", [&](Addresses result) { answer = std::move(result); });
    ASSERT_TRUE(run_until(loop, [&] { return answer.has_value(); }));
    resolver.start_resolve("localhost", [&](const Addresses&) { dropped = true; });
    resolver.cancel();
    for (int i = 0; i < 10; ++i) run_once(loop);
    EXPECT_FALSE(dropped);
}

TEST(Resolver, MayBeDestroyedInItsOwnCallback) {
    EventLoop loop;
    auto resolver = std::make_unique<Resolver>(loop);
    bool called = false;
    resolver->start_resolve("localhost", [&](const Addresses&) {
        resolver.reset();
        called = true;
    });
    EXPECT_TRUE(run_until(loop, [&] { return called; }));
    run_once(loop);
}

}  // namespace
}  // namespace messaging::loop
