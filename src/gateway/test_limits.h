// TestLimits: how many tests there may be at a time, and how often one endpoint may be tested. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <unordered_map>

#include "core/clock.h"
#include "core/message.h"

namespace messaging::gateway {

inline constexpr std::size_t kMaxTests = 16;  // under way at a time, of all endpoints

class TestLimits {
public:
    // Nothing when the test may begin: end() must follow. Otherwise why it may not.
    std::optional<std::string> begin(core::EndpointId endpoint, core::MonoTime now);
    void end() { --under_way_; }

private:
    std::size_t under_way_ = 0;
    std::unordered_map<core::EndpointId, core::MonoTime> begun_;  // of the last service::kTestInterval
};

}  // namespace messaging::gateway
