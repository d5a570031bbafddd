// The real clock and the real source of chance.
#pragma once

#include <random>

#include "core/clock.h"
#include "core/random.h"

namespace messaging::app {

class RealClock : public core::Clock {
public:
    core::MonoTime mono() const override { return std::chrono::steady_clock::now(); }
    core::WallTime wall() const override { return std::chrono::system_clock::now(); }
};

// One thread.
class RealRandom : public core::Random {
public:
    double next_unit() override { return distribution_(generator_); }

private:
    std::mt19937_64 generator_{std::random_device{}()};
    std::uniform_real_distribution<double> distribution_{0.0, 1.0};
};

}  // namespace messaging::app
