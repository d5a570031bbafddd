// Counts attempts.
#include "engine/endpoint_figures.h"

#include <algorithm>
#include <utility>

namespace messaging::engine {

void FigureCollector::count(core::EndpointId endpoint, const core::Outcome& outcome) {
    EndpointFigures& figures = figures_[endpoint];
    figures.endpoint = endpoint;
    if (outcome.kind == core::OutcomeKind::kDelivered) {
        ++figures.sent;
    } else {
        ++figures.failed;
        figures.last_error = outcome.error;
    }
    // An attempt of exactly a bound's length belongs to the range that ends with it.
    const auto range = std::lower_bound(kDurationBounds.begin(), kDurationBounds.end(), outcome.duration.count());
    ++figures.durations[static_cast<std::size_t>(range - kDurationBounds.begin())];
}

std::vector<EndpointFigures> FigureCollector::take() {
    std::vector<EndpointFigures> taken;
    taken.reserve(figures_.size());
    for (auto& [endpoint, figures] : std::exchange(figures_, {})) taken.push_back(std::move(figures));
    return taken;
}

}  // namespace messaging::engine
