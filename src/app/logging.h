// Logging: spdlog set up once, as readable lines or as JSON that stays JSON whatever a message contains.
#pragma once

#include <string>

#include "app/config.h"

namespace messaging::app {

// Message contents, recipients and secrets are never handed to a logger. Writes to standard error. Call once, before threads
// start.
void set_up_logging(const std::string& level, LogFormat format);

// Logs changes of state, not events: the first failure and the recovery, and a count of what was left out between.
// One thread.
class TroubleLog {
public:
    explicit TroubleLog(std::string subject) : subject_(std::move(subject)) {}
    void failed(const std::string& reason);
    void recovered();

private:
    std::string subject_;
    std::string last_reason_;
    std::size_t repeats_ = 0;
    bool failing_ = false;
};

}  // namespace messaging::app
