// LogFormat: how log lines are written.
#pragma once

namespace messaging::telemetry {

enum class LogFormat { kText, kJson };

}  // namespace messaging::telemetry
