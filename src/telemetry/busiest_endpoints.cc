// Adding up figures, and choosing the busiest.
#include "telemetry/busiest_endpoints.h"

#include <algorithm>
#include <chrono>
#include <cmath>

namespace messaging::telemetry {
namespace {

constexpr std::chrono::duration<double> kHalfLife{60};

}  // namespace

void BusiestEndpoints::add(const std::vector<engine::EndpointFigures>& figures, core::MonoTime now) {
    const std::lock_guard lock(mutex_);
    age(now);
    for (const engine::EndpointFigures& one : figures) {
        if (one.name.empty()) continue;  // deleted since
        Counts& counts = endpoints_[one.name];
        counts.sent += static_cast<std::uint64_t>(one.sent);
        counts.failed += static_cast<std::uint64_t>(one.failed);
        counts.recent += one.sent + one.failed;
    }
    forget_idle();
}

void BusiestEndpoints::age(core::MonoTime now) {
    if (now <= aged_) return;
    const double factor = std::exp2(-std::chrono::duration<double>(now - aged_) / kHalfLife);
    for (auto& [name, counts] : endpoints_) counts.recent *= factor;
    aged_ = now;
}

std::vector<BusiestEndpoints::ByName::const_iterator> BusiestEndpoints::busiest(std::size_t most) const {
    std::vector<ByName::const_iterator> all;
    all.reserve(endpoints_.size());
    for (auto one = endpoints_.begin(); one != endpoints_.end(); ++one) all.push_back(one);
    const auto end = all.begin() + static_cast<std::ptrdiff_t>(std::min(most, all.size()));
    std::partial_sort(all.begin(), end, all.end(), [](const auto& a, const auto& b) {
        return a->second.recent != b->second.recent ? a->second.recent > b->second.recent : a->first < b->first;
    });
    all.erase(end, all.end());
    return all;
}

// Only when there are twice as many as may stay, because it looks at all of them.
void BusiestEndpoints::forget_idle() {
    if (endpoints_.size() <= 2 * kMaxRememberedEndpoints) return;
    ByName kept;
    for (const auto& one : busiest(kMaxRememberedEndpoints)) kept.insert(*one);
    endpoints_ = std::move(kept);
}

std::vector<prometheus::MetricFamily> BusiestEndpoints::collect() const {
    prometheus::MetricFamily family;
    family.name = "messaging_endpoint_attempts_total";
    family.help = "Attempts of the " + std::to_string(kShownEndpoints) +
                  " endpoints that have had the most of them of late, counted every 2 s.";
    family.type = prometheus::MetricType::Counter;
    const auto add = [&](const std::string& name, const char* result, std::uint64_t count) {
        prometheus::ClientMetric metric;
        metric.label = {{"endpoint", name}, {"result", result}};
        metric.counter.value = static_cast<double>(count);
        family.metric.push_back(std::move(metric));
    };
    const std::lock_guard lock(mutex_);
    for (const auto& one : busiest(kShownEndpoints)) {
        add(one->first, "sent", one->second.sent);
        add(one->first, "failed", one->second.failed);
    }
    if (family.metric.empty()) return {};
    return {std::move(family)};
}

}  // namespace messaging::telemetry
