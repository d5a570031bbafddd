// Random: the source of random numbers, passed to policies so that a test can choose the numbers.
#pragma once

#include <cstdint>

namespace messaging::core {

class Random {
public:
    virtual ~Random() = default;
    // Uniform in [0, 1).
    virtual double next_unit() = 0;
    // A positive number of 63 random bits. Callers use it as unique: that two are equal is practically impossible.
    virtual std::int64_t next_token() = 0;
};

}  // namespace messaging::core
