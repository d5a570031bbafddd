// FakeTime: clock and timers that move only when a test says so.
#pragma once

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "core/clock.h"
#include "loop/timer.h"

namespace messaging::test {

class FakeTime : public core::Clock, public loop::TimerFactory {
public:
    core::MonoTime mono() const override { return now_; }
    core::WallTime wall() const override {
        return core::WallTime(std::chrono::seconds(1'800'000'000)) + (now_ - core::MonoTime());
    }

    std::unique_ptr<loop::Timer> make_timer(std::function<void()> on_fire) override {
        auto timer = std::make_unique<FakeTimer>(*this, std::move(on_fire));
        timers_.push_back(timer.get());
        return timer;
    }

    std::unique_ptr<loop::Timer> make_precise_timer(std::function<void()> on_fire) override {
        return make_timer(std::move(on_fire));
    }

    // Fires what becomes due, in the order of its time, each at its own time.
    void advance(std::chrono::milliseconds by) {
        const core::MonoTime end = now_ + by;
        while (FakeTimer* const next = first_due(end)) {
            now_ = std::max(now_, next->at);
            next->is_armed = false;
            const auto fire = next->on_fire;  // it may destroy its timer
            fire();
        }
        now_ = end;
    }

private:
    struct FakeTimer : loop::Timer {
        FakeTimer(FakeTime& time_, std::function<void()> on_fire_) : time(time_), on_fire(std::move(on_fire_)) {}
        ~FakeTimer() override { std::erase(time.timers_, this); }
        FakeTimer(const FakeTimer&) = delete;
        FakeTimer& operator=(const FakeTimer&) = delete;
        void start(std::chrono::milliseconds delay) override {
            at = time.now_ + delay;
            is_armed = true;
        }
        void stop() override { is_armed = false; }
        bool armed() const override { return is_armed; }

        FakeTime& time;
        std::function<void()> on_fire;
        core::MonoTime at{};
        bool is_armed = false;
    };

    FakeTimer* first_due(core::MonoTime end) const {
        FakeTimer* first = nullptr;
        for (FakeTimer* const timer : timers_) {
            if (timer->is_armed && timer->at <= end && (first == nullptr || timer->at < first->at)) first = timer;
        }
        return first;
    }

    core::MonoTime now_{std::chrono::hours(1)};
    std::vector<FakeTimer*> timers_;
};

}  // namespace messaging::test
