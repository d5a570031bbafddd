// Counts tests.
#include "gateway/test_limits.h"

#include "service/endpoint_tester.h"

namespace messaging::gateway {

std::optional<std::string> TestLimits::begin(core::EndpointId endpoint, core::MonoTime now) {
    if (under_way_ >= kMaxTests) return std::to_string(kMaxTests) + " tests are under way: try again shortly";
    std::erase_if(begun_, [&](const auto& one) { return now - one.second >= service::kTestInterval; });
    if (!begun_.emplace(endpoint, now).second) return "this endpoint was tested less than a second ago: try again in a second";
    ++under_way_;
    return std::nullopt;
}

}  // namespace messaging::gateway
