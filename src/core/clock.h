// Clock: monotonic time for timers and durations, wall time for what people and receivers read.
#pragma once

#include <chrono>

namespace messaging::core {

using MonoTime = std::chrono::steady_clock::time_point;
using WallTime = std::chrono::system_clock::time_point;

class Clock {
public:
    virtual ~Clock() = default;
    virtual MonoTime mono() const = 0;
    virtual WallTime wall() const = 0;
};

}  // namespace messaging::core
