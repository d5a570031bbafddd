// BusiestEndpoints: the attempts of the endpoints, by name, of those that have most of them. Any endpoint has its figures in the
// API.
#pragma once

#include <prometheus/metric_family.h>

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/clock.h"
#include "engine/endpoint_figures.h"

namespace messaging::telemetry {

// Each series of a metric costs the monitoring system memory for months, so /metrics has only so many endpoints by name at a
// time. Over days there can be more, as others become the busiest.
inline constexpr std::size_t kShownEndpoints = 20;
// An endpoint that is forgotten begins again at 0, as a counter does when its process restarts.
inline constexpr std::size_t kMaxRememberedEndpoints = 2000;

// Any thread.
class BusiestEndpoints {
public:
    void add(const std::vector<engine::EndpointFigures>& figures, core::MonoTime now);
    // Counters of the endpoints that have had the most attempts of late.
    std::vector<prometheus::MetricFamily> collect() const;

private:
    struct Counts {
        std::uint64_t sent = 0;
        std::uint64_t failed = 0;
        double recent = 0;  // attempts; what is a minute old counts half
    };
    void age(core::MonoTime now);
    void forget_idle();
    using ByName = std::unordered_map<std::string, Counts>;  // names are unique
    std::vector<ByName::const_iterator> busiest(std::size_t most) const;

    mutable std::mutex mutex_;
    ByName endpoints_;
    core::MonoTime aged_{};  // when `recent` was last halved
};

}  // namespace messaging::telemetry
