// The version and revision of this build. A new revision compiles this file only.
#include "telemetry/version.h"

namespace messaging::telemetry {

const char* version() noexcept { return MESSAGING_VERSION; }
const char* revision() noexcept { return MESSAGING_REVISION; }

}  // namespace messaging::telemetry
