// What this build calls itself: the one file that a new revision compiles again.
#include "telemetry/version.h"

namespace messaging::telemetry {

const char* version() noexcept { return MESSAGING_VERSION; }
const char* revision() noexcept { return MESSAGING_REVISION; }

}  // namespace messaging::telemetry
