// FixedRandom: chance that always falls the same way.
#pragma once

#include "core/random.h"

namespace messaging::test {

class FixedRandom : public core::Random {
public:
    explicit FixedRandom(double unit = 0.5) : unit_(unit) {}
    double next_unit() override { return unit_; }

private:
    double unit_;
};

}  // namespace messaging::test
