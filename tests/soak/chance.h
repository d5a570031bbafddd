// Choices by chance, from one seed for each actor of the soak.
#pragma once

#include <chrono>
#include <random>
#include <string>
#include <vector>

namespace messaging::test {

class Chance {
public:
    explicit Chance(unsigned seed) : random_(seed) {}
    unsigned below(unsigned end) { return static_cast<unsigned>(random_() % end); }
    bool one_in(unsigned n) { return below(n) == 0; }
    std::chrono::milliseconds pause(unsigned least, unsigned most) {
        return std::chrono::milliseconds(least + below(most - least));
    }
    template <typename Container>
    const auto& of(const Container& all) {
        return all[below(static_cast<unsigned>(all.size()))];
    }

private:
    std::mt19937 random_;
};

}  // namespace messaging::test
