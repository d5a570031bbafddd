// ALLOWED_NETWORKS of the tests: their receivers are on loopback.
#pragma once

#include "core/address_policy.h"

namespace messaging::test {

inline constexpr const char* kLoopbackNetworks = "127.0.0.0/8,::1";

inline core::AddressPolicy allowing(const char* networks) { return core::AddressPolicy(core::parse_networks(networks).value()); }

}  // namespace messaging::test
