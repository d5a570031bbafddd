// Logging: spdlog set up once, as readable lines or as JSON that stays JSON whatever a message contains.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>

#include "core/clock.h"
#include "telemetry/log_format.h"

namespace messaging::telemetry {

// Message contents, recipients and secrets are never handed to a logger. Writes to standard error. Call once, before threads
// start.
//
// Lines are written on a thread of their own: a log that nobody reads holds up nobody. Of more lines than kMaxLogLines that wait
// the oldest are dropped.
inline constexpr std::size_t kMaxLogLines = 1024;
void set_up_logging(const std::string& level, LogFormat format);
// How many lines were dropped. Any thread, after set_up_logging().
std::size_t dropped_log_lines();
// Writes what is left; nothing can be logged any more. False: that was not possible in time.
bool finish_logging(std::chrono::milliseconds patience);

// When a session is lost, only the next failed attempt to connect gives the reason. kAtOnce logs that second reason at once.
enum class SecondReason { kAfterAMinute, kAtOnce };

// Logs states, not events: the first failure, again each minute while it lasts, another reason, the recovery. At most two lines
// within any minute, however often the state changes: a failure has a line only when there was none for a minute, and a recovery
// only after a failure that had one. With SecondReason::kAtOnce a third is possible between these two: the first other reason.
// Each line counts the failures that were left out before it. Both calls may be made for every event. One thread.
class DependencyLog {
public:
    // `next`: what the service does about a failure.
    DependencyLog(std::string subject, const core::Clock& clock, SecondReason second = SecondReason::kAfterAMinute,
                  std::string next = "trying again")
        : subject_(std::move(subject)), clock_(clock), second_(second), next_(std::move(next)) {}
    // `which` is written behind the reason, and makes no other reason of it: the id of a request.
    void failed(const std::string& reason, const std::string& which = "");
    void recovered();

private:
    std::string subject_;
    const core::Clock& clock_;
    const SecondReason second_;
    const std::string next_;
    std::optional<core::MonoTime> last_line_;
    std::string logged_reason_;
    std::size_t left_out_ = 0;     // failures since the last line
    bool logged_failing_ = false;  // what the last line says
    bool second_logged_ = false;
};

}  // namespace messaging::telemetry
