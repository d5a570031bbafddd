// Waiting for a condition with a deadline, on this thread or by running a loop.
#pragma once

#include <chrono>
#include <functional>

#include "loop/event_loop.h"

namespace messaging::test {

// Generous: only a failing test ever waits for so long, and sanitizers are slow.
inline constexpr std::chrono::milliseconds kPatience{20000};

// True as soon as `condition` holds; false at the deadline. The condition is asked every few milliseconds.
bool wait_until(const std::function<bool()>& condition, std::chrono::milliseconds patience = kPatience);

// The same, while `loop` runs on this thread. The condition is asked between its callbacks.
bool run_until(loop::EventLoop& loop, const std::function<bool()>& condition, std::chrono::milliseconds patience = kPatience);

// Runs `loop` for one round of whatever is ready now.
void run_once(loop::EventLoop& loop);

}  // namespace messaging::test
