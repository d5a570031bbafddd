// Breaker: after how many failures an endpoint gets no more requests, and when it is tried again. Pure.
#pragma once

#include <chrono>

#include "core/clock.h"
#include "core/random.h"

namespace messaging::core {

struct BreakerPolicy {
    int failures = 10;  // in a row, without a success between them; 0 = it never opens
    // From the first of them to the last one. A receiver that restarts refuses a hundred requests within a moment.
    std::chrono::milliseconds at_least{5000};
    std::chrono::milliseconds first_pause{5000};  // doubles with each try that fails
    std::chrono::milliseconds longest_pause{60'000};
};

// Closed: requests go out. Open: none until the pause is over, then one at a time, to try. A success closes it.
class Breaker {
public:
    void succeed() { *this = {}; }
    // True: this failure has opened it, or was the failure of a try, so that another pause begins.
    bool fail(const BreakerPolicy& policy, MonoTime now, Random& random);
    // Opens it because another engine's has opened. A try may begin at once.
    void open(MonoTime now);
    // A try may begin at once. If it fails, the pauses go on as they were.
    void try_now(MonoTime now) {
        if (open_) paused_until_ = now;
    }

    bool is_open() const { return open_; }
    // Which message to try. The oldest ones may be those that the receiver never takes, while it takes all others: after a try
    // that has failed with the oldest, the newest is tried, and so on in turns.
    bool tries_newest() const { return open_ && failed_tries_ % 2 == 1; }
    int failures() const { return failures_; }               // in a row
    MonoTime paused_until() const { return paused_until_; }  // while it is open

private:
    bool open_ = false;
    int failures_ = 0;
    int failed_tries_ = 0;
    MonoTime first_failure_{};
    MonoTime paused_until_{};
    std::chrono::milliseconds pause_{0};
};

}  // namespace messaging::core
