// FixedRandom: chance that always falls the same way; tokens are 1000, 1001, …
#pragma once

#include "core/random.h"

namespace messaging::test {

class FixedRandom : public core::Random {
public:
    explicit FixedRandom(double unit = 0.5) : unit_(unit) {}
    double next_unit() override { return unit_; }
    std::int64_t next_token() override { return next_token_++; }

private:
    double unit_;
    std::int64_t next_token_ = 1000;
};

}  // namespace messaging::test
