// The version and revision of this build.
#pragma once

namespace messaging::telemetry {

const char* version() noexcept;
const char* revision() noexcept;  // of the source, as git describes it; empty outside a checkout

}  // namespace messaging::telemetry
