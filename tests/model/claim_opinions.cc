// As in engine/endpoint_gates.cc, and Dispatcher::follow_state.
#include "model/claim_opinions.h"

#include <utility>

namespace messaging::model {
namespace {

Reading reading_of(Endpoint endpoint) {
    switch (endpoint) {
        case Endpoint::kActive:
        case Endpoint::kBacklogged: return Reading::kWell;
        case Endpoint::kFailing: return Reading::kFailing;
        case Endpoint::kDisabled: return Reading::kDisabled;
        case Endpoint::kMissing: break;
    }
    return Reading::kMissing;
}

}  // namespace

void on_accepted(Engine& engine) {
    if (std::exchange(engine.breaker_open, false)) engine.finding = Finding::kRecovered;
}

void on_refused(Engine& engine, bool gone) {
    if (gone || engine.breaker_open) engine.finding = gone ? Finding::kAnsweredGone : Finding::kFailing;
    if (gone) engine.breaker_open = engine.read_failing = false;
}

void open_breaker(Engine& engine) {
    engine.breaker_open = true;
    engine.finding = Finding::kFailing;
}

void begin_reading(Engine& engine, Endpoint endpoint) { engine.reading = reading_of(endpoint); }

void end_reading(Engine& engine, Mistakes mistakes) {
    const Reading read = std::exchange(engine.reading, Reading::kNone);
    const bool failing = read == Reading::kFailing;
    const bool was_failing = std::exchange(engine.read_failing, failing);
    const bool says_so = !mistakes.has(Mistake::kFindingsOnce);
    if (failing && !was_failing) {
        engine.breaker_open = true;
    } else if (read == Reading::kMissing || (!failing && was_failing)) {
        engine.breaker_open = false;
    } else if (failing && !engine.breaker_open && says_so) {
        engine.finding = Finding::kRecovered;
    } else if (!failing && engine.breaker_open && read != Reading::kDisabled && says_so) {
        engine.finding = Finding::kFailing;
    }
}

void forget_opinions(Engine& engine) {
    engine.breaker_open = engine.read_failing = false;
    engine.finding = Finding::kNone;
    engine.reading = Reading::kNone;
}

}  // namespace messaging::model
