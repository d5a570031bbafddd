// The promises, one condition each.
#include "model/claim_promises.h"

#include <algorithm>

namespace messaging::model {

std::string to_text(Promise promise) {
    switch (promise) {
        case Promise::kNotLost: return "a committed message is never lost";
        case Promise::kInOnePlace: return "an unsent message is in one place only";
        case Promise::kSentIsNotDead: return "a sent message is not dead-lettered";
        case Promise::kSentWasAccepted: return "what is marked sent was accepted";
        case Promise::kFenced: return "late outcomes change nothing";
        case Promise::kOnceUnlessFault: return "without a fault nothing is accepted twice";
        case Promise::kProgress: return "there is always a way to the end";
        case Promise::kAgreement: return "engines and PostgreSQL come to agree about the endpoint";
        case Promise::kDisabledStays: return "nobody but an operator ends that an endpoint is disabled";
    }
    return "";
}

std::optional<Promise> broken_in(const State& state, std::optional<Promise> only) {
    const auto asked = [only](Promise promise) { return !only || *only == promise; };
    for (std::size_t m = 0; m < kMaxMessages; ++m) {
        const Message& message = state.messages[m];
        if (!message.inserted) continue;
        if (message.sent && message.dead && asked(Promise::kSentIsNotDead)) return Promise::kSentIsNotDead;
        if (message.sent && message.accepted == 0 && asked(Promise::kSentWasAccepted)) return Promise::kSentWasAccepted;
        if (message.accepted > 1 && state.faults == 0 && asked(Promise::kOnceUnlessFault)) return Promise::kOnceUnlessFault;
        if (message.sent) continue;
        int places = message.queued + message.held + message.dead + (message.schedule != Schedule::kNone);
        for (std::size_t c = 0; c < state.claim_count; ++c) places += is_open(state, state.claims[c], m);
        if (places == 0 && asked(Promise::kNotLost)) return Promise::kNotLost;
        if (places > 1 && asked(Promise::kInOnePlace)) return Promise::kInOnePlace;
    }
    return std::nullopt;
}

bool keeps_fence(const State& before, const Step& step, const State& after) {
    if (is_wish(step)) return true;
    std::array<bool, kMaxMessages> may_change{};
    const bool records = step.action == Action::kRecord || step.action == Action::kLateRecord;
    may_change.fill(!records);
    const Engine& engine = before.engines[step.engine];
    for (std::size_t i = 0; records && i < engine.item_count; ++i) {
        const Item& item = engine.items[i];
        const bool chosen = step.action == Action::kLateRecord || step.which == kAll || step.which == i;
        const bool current = item.generation == before.messages[item.message].generation;
        if (chosen && (item.phase == Phase::kDelivered ? current : !is_fenced_off(before, item))) may_change[item.message] = true;
    }
    for (std::size_t m = 0; m < kMaxMessages; ++m) {
        const Message& was = before.messages[m];
        const Message& is = after.messages[m];
        if (!may_change[m] && was != is) return false;
        if (is.attempts < was.attempts || (was.sent && !is.sent) || (was.sent && is.attempts != was.attempts)) return false;
    }
    return true;
}

bool keeps_disabled(const State& before, const Step& step, const State& after) {
    return step.action == Action::kSetEndpoint || before.endpoint != Endpoint::kDisabled || after.endpoint == Endpoint::kDisabled;
}

bool is_goal(const State& state) {
    const bool waits = state.endpoint == Endpoint::kDisabled;
    return std::all_of(state.messages.begin(), state.messages.end(), [waits](const Message& message) {
        return !message.inserted || message.sent || message.dead || (message.held && waits);
    });
}

// What an engine thinks of an endpoint that gets no requests has no effect.
bool agrees(const State& state) {
    if (state.endpoint == Endpoint::kDisabled || state.endpoint == Endpoint::kMissing) return true;
    const bool failing = state.endpoint == Endpoint::kFailing;
    return std::all_of(state.engines.begin(), state.engines.end(), [failing](const Engine& engine) {
        return engine.life != Life::kUp || (engine.breaker_open == failing && engine.finding == Finding::kNone);
    });
}

// A refusal is left out because it brings nobody nearer, as are what an operator does and a fault. Claims look for what is held
// for an active endpoint only for a short time.
bool heals(const State& state, const Step& step) {
    switch (step.action) {
        case Action::kClaimHeld: return is_sent_from_hold(state.endpoint);
        case Action::kInsert:
        case Action::kRefuse:
        case Action::kAnswerGone:
        case Action::kLocalFault:
        case Action::kHold:
        case Action::kOpenBreaker:
        case Action::kClaimBehindActive:
        case Action::kStop:
        case Action::kShutDown:
        case Action::kSetEndpoint: return false;
        default: return !is_fault(step) && !is_wish(step) && !is_overlap(step);
    }
}

}  // namespace messaging::model
