// The real clock and the real source of random numbers.
#pragma once

#include <algorithm>
#include <cstdint>
#include <random>

#include "core/clock.h"
#include "core/random.h"

namespace messaging::app {

class SystemClock : public core::Clock {
public:
    core::MonoTime mono() const override { return std::chrono::steady_clock::now(); }
    core::WallTime wall() const override { return std::chrono::system_clock::now(); }
};

// One thread.
class SystemRandom : public core::Random {
public:
    double next_unit() override { return distribution_(generator_); }
    // From the system, not from the generator, whose seed two processes can share.
    std::int64_t next_token() override {
        const std::uint64_t bits = std::uint64_t{device_()} << 32 | device_();
        return static_cast<std::int64_t>(std::max<std::uint64_t>(bits >> 1, 1));
    }

private:
    std::random_device device_;
    std::mt19937_64 generator_{device_()};
    std::uniform_real_distribution<double> distribution_{0.0, 1.0};
};

}  // namespace messaging::app
