// Logging: spdlog set up once, as readable lines or as JSON that stays JSON whatever a message contains.
#pragma once

#include <array>
#include <string>

#include "app/config.h"
#include "core/clock.h"

namespace messaging::app {

// Message contents, recipients and secrets are never handed to a logger. Writes to standard error. Call once, before threads
// start.
void set_up_logging(const std::string& level, LogFormat format);

// Logs changes of state, not events: the first failure, another reason, the recovery. At most two lines within any minute,
// however often the state changes; each line counts the failures that were left out before it. Both calls may be made for every
// event. One thread.
class TroubleLog {
public:
    TroubleLog(std::string subject, const core::Clock& clock) : subject_(std::move(subject)), clock_(clock) {}
    void failed(const std::string& reason);
    // A recovery that comes when no line is allowed is logged by a later call.
    void recovered();

private:
    bool take_line();

    std::string subject_;
    const core::Clock& clock_;
    std::array<core::MonoTime, 2> lines_{core::MonoTime::min(), core::MonoTime::min()};  // of the last two, the older one first
    std::string logged_reason_;
    std::size_t left_out_ = 0;     // failures since the last line
    bool logged_failing_ = false;  // what the last line says
};

}  // namespace messaging::app
