// Figures of endpoints: how many attempts each one accepted and failed, and how long they took, gathered until they are written.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/completion.h"
#include "core/message.h"
#include "core/result.h"

namespace messaging::engine {

// The upper ends of the ranges in which durations are counted, in milliseconds; one more range has what took longer. As in
// messaging._duration_bounds().
inline constexpr std::array kDurationBounds{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 30000, 60000};
inline constexpr std::size_t kDurationRanges = kDurationBounds.size() + 1;

struct EndpointFigures {
    core::EndpointId endpoint = 0;
    std::string name{};  // empty = it was deleted since
    int sent = 0;
    int failed = 0;
    std::array<int, kDurationRanges> durations{};
    std::string last_error{};  // of a failed attempt; empty = none
};

class FigureCollector {
public:
    // Precondition: the outcome is of an attempt that counts (core::is_counted).
    void count(core::EndpointId endpoint, const core::Outcome& outcome);
    // Everything since the last call, one entry for each endpoint.
    std::vector<EndpointFigures> take();

private:
    std::unordered_map<core::EndpointId, EndpointFigures> figures_;
};

// A port; repository implements it. Loop thread only.
class EndpointFiguresStore {
public:
    virtual ~EndpointFiguresStore() = default;
    // Adds them to those of this minute, and forgets what is older than a day.
    virtual void add_figures(std::vector<EndpointFigures> figures, core::Completion<core::Unit> done) = 0;
};

}  // namespace messaging::engine
