// Counting of attempts by duration.
#include "engine/endpoint_figures.h"

#include <gtest/gtest.h>

#include <numeric>

namespace messaging::engine {
namespace {

core::Outcome lasting(int milliseconds) {
    core::Outcome outcome;
    outcome.duration = std::chrono::milliseconds(milliseconds);
    return outcome;
}

std::size_t range_of(int milliseconds) {
    FigureCollector collector;
    collector.count(7, lasting(milliseconds));
    const auto figures = collector.take();
    EXPECT_EQ(figures.front().endpoint, 7);
    const auto& durations = figures.front().durations;
    EXPECT_EQ(std::accumulate(durations.begin(), durations.end(), 0), 1);
    return static_cast<std::size_t>(std::find(durations.begin(), durations.end(), 1) - durations.begin());
}

TEST(EndpointFigures, EachBoundEndsItsRange) {
    EXPECT_EQ(range_of(0), 0u);
    for (std::size_t i = 0; i < kDurationBounds.size(); ++i) {
        EXPECT_EQ(range_of(kDurationBounds[i]), i);
        EXPECT_EQ(range_of(kDurationBounds[i] + 1), i + 1);
    }
    EXPECT_EQ(range_of(1'000'000'000), kDurationBounds.size());
}

}  // namespace
}  // namespace messaging::engine
