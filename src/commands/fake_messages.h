// FakeMessages: believable recipients and texts, the same for the same seed; pure.
#pragma once

#include <cstdint>
#include <random>
#include <string>

namespace messaging::commands {

struct FakeMessage {
    std::string recipient;  // E.164
    std::string content;
};

class FakeMessages {
public:
    explicit FakeMessages(std::uint64_t seed) : generator_(seed) {}
    FakeMessage next();

private:
    std::size_t below(std::size_t limit);

    std::mt19937_64 generator_;
};

}  // namespace messaging::commands
