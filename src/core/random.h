// Random: the source of chance, handed to policies so that tests decide it.
#pragma once

namespace messaging::core {

class Random {
public:
    virtual ~Random() = default;
    // Uniform in [0, 1).
    virtual double next_unit() = 0;
};

}  // namespace messaging::core
