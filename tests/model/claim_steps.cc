// Which steps a state allows.
#include <algorithm>
#include <utility>

#include "model/claim_model.h"

namespace messaging::model {
namespace {

bool acts(const Engine& engine) { return engine.life == Life::kUp; }
// Thinks that it is registered: it claims and sends.
bool active(const Engine& engine) {
    return acts(engine) && (engine.listen_session == ListenSession::kUp || engine.listen_session == ListenSession::kBroken);
}

template <typename Wanted>
bool any_item(const Engine& engine, const Wanted& wanted) {
    return std::any_of(engine.items.begin(), engine.items.begin() + engine.item_count, wanted);
}
bool is_arriving(const Item& item) { return item.phase == Phase::kArriving; }
bool is_recording(const Item& item) { return item.recording; }

// Each of the messages that `wanted` accepts, and all of them.
template <typename Wanted>
std::vector<std::uint8_t> masks(const State& state, const Bounds& bounds, const Wanted& wanted) {
    std::vector<std::uint8_t> found;
    unsigned all = 0;
    for (std::size_t m = 0; m < bounds.messages; ++m) {
        if (!wanted(state.messages[m])) continue;
        found.push_back(static_cast<std::uint8_t>(1U << m));
        all |= 1U << m;
    }
    if (found.size() > 1) found.push_back(static_cast<std::uint8_t>(all));
    return found;
}

bool is_queued(const Message& message) { return message.queued; }
bool is_due(const Message& message) { return message.schedule == Schedule::kDue; }
bool is_held(const Message& message) { return message.held; }

class Choice {
public:
    Choice(const State& state, const Bounds& bounds) : s_(state), bounds_(bounds), may_fail_(state.faults < bounds.faults) {}

    std::vector<Step> all() {
        for (std::size_t m = 0; m < bounds_.messages; ++m) {
            if (!s_.messages[m].inserted) add(Action::kInsert, 0, m);
            if (s_.messages[m].schedule == Schedule::kLater) add(Action::kDue, 0, m);
        }
        add_operators();
        if (bounds_.crashes) add_fault(Action::kCrash, 0, 0);
        for (std::size_t e = 0; e < bounds_.engines; ++e) add_of(e);
        for (std::size_t e = 0; bounds_.overlaps && e < bounds_.engines; ++e) {
            for (std::size_t other = 0; other < bounds_.engines; ++other) {
                if (other != e && acts(s_.engines[e])) add_overlaps(e, other);
            }
        }
        return std::move(steps_);
    }

private:
    void add_operators() {
        if (bounds_.stops) add(s_.running ? Action::kStop : Action::kResume, 0, 0);
        add_endpoints();
        if (s_.wishes >= bounds_.wishes) return;
        bool any = false;
        for (std::size_t m = 0; m < bounds_.messages; ++m) {
            const Message& row = s_.messages[m];
            any = any || row.inserted;
            if (row.sent || row.dead || row.schedule != Schedule::kNone) add(Action::kSendAgain, 0, m);
            if (bounds_.deletes && row.inserted) add(Action::kDelete, 0, m);
        }
        if (bounds_.truncates && any) add(Action::kTruncate, 0, 0);
    }

    // Only engines find it failing.
    void add_endpoints() {
        if (!bounds_.endpoints) return;
        for (const Endpoint one : {Endpoint::kActive, Endpoint::kBacklogged, Endpoint::kDisabled, Endpoint::kMissing}) {
            if (one != s_.endpoint) add(Action::kSetEndpoint, 0, static_cast<std::size_t>(one));
        }
        const bool looks = s_.endpoint == Endpoint::kActive || s_.endpoint == Endpoint::kMissing;
        if (looks && std::any_of(s_.messages.begin(), s_.messages.end(), is_held)) add(Action::kReleaseStrays, 0, 0);
    }

    void add_of(std::size_t e) {
        const Engine& engine = s_.engines[e];
        switch (engine.life) {
            case Life::kOff: add(Action::kStart, e, 0); break;
            case Life::kUp: add_of_living(e, engine); break;
            case Life::kFrozen:
                add(Action::kThaw, e, 0);
                add_fault(Action::kDie, e, 0);
                for (std::size_t other = 0; has_session(engine) && other < bounds_.engines; ++other) {
                    const Engine& doer = s_.engines[other];
                    if (other != e && acts(doer) && holds_lock(doer)) add(Action::kEndSession, e, other);
                }
                break;
            case Life::kDying:
                add(Action::kVanish, e, 0);
                if (any_item(engine, is_outcome)) add(Action::kLateRecord, e, 0);
                if (s_.running) {
                    for (const std::uint8_t mask : masks(s_, bounds_, is_queued)) add(Action::kLateClaim, e, mask);
                }
                break;
        }
    }

    static bool has_session(const Engine& engine) {
        return engine.listen_session == ListenSession::kUp || engine.listen_session == ListenSession::kNew ||
               engine.listen_session == ListenSession::kMoving;
    }

    void add_of_living(std::size_t e, const Engine& engine) {
        const bool claiming = any_item(engine, is_arriving);
        if (claiming) {
            add(Action::kArrive, e, 0);
            add_fault(Action::kLoseClaim, e, 0);
        }
        if (active(engine)) {
            if (s_.running && !claiming) {
                const bool has_capacity = engine.item_count < bounds_.capacity;
                for (const std::uint8_t mask : masks(s_, bounds_, is_queued)) {
                    if (has_capacity) add(Action::kClaim, e, mask);
                }
                for (const std::uint8_t mask : masks(s_, bounds_, is_due)) {
                    if (has_capacity) add(Action::kClaimDue, e, mask);
                }
                for (const std::uint8_t mask : masks(s_, bounds_, is_held)) {
                    if (has_capacity && claims_from_hold()) add(Action::kClaimHeld, e, mask);
                }
                add_claims_behind_active(e, has_capacity);
                add(Action::kRescheduleOrphans, e, 0);
            }
            add_answers(e, engine);
        }
        if (bounds_.breakers) add_breaker(e, engine);
        add_records(e, engine);
        switch (engine.listen_session) {
            case ListenSession::kUp:
                add(Action::kReclaim, e, kAll);
                add(Action::kReclaim, e, 0);
                if (bounds_.stops && engine.item_count == 0) add(Action::kShutDown, e, 0);
                break;
            case ListenSession::kBroken: add(Action::kNotice, e, 0); break;
            case ListenSession::kDown:
                if (!claiming) add(Action::kRegister, e, 0);
                break;
            case ListenSession::kNew: add(Action::kMove, e, 0); break;
            case ListenSession::kMoving: add(Action::kMoved, e, 0); break;
            case ListenSession::kNone: break;
        }
        if (has_session(engine)) add_fault(Action::kLoseListenSession, e, 0);
        add_fault(Action::kFreeze, e, 0);
        add_fault(Action::kDie, e, 0);
    }

    bool claims_from_hold() const { return s_.endpoint == Endpoint::kActive || is_sent_from_hold(s_.endpoint); }

    // An endpoint becomes active only while nothing is held. The claim takes all that is ready, and would send all of it.
    void add_claims_behind_active(std::size_t e, bool has_capacity) {
        const bool any_held = std::any_of(s_.messages.begin(), s_.messages.end(), is_held);
        if (!bounds_.endpoints || !has_capacity || any_held || !is_sent_from_hold(s_.endpoint)) return;
        const auto ready = masks(s_, bounds_, is_queued);
        const bool all_open = std::none_of(s_.messages.begin(), s_.messages.end(),
                                           [](const Message& row) { return row.queued && (!row.inserted || row.sent); });
        if (!ready.empty() && all_open) add(Action::kClaimBehindActive, e, ready.back());
    }

    void add_breaker(std::size_t e, const Engine& engine) {
        const auto has_failed = [](const Item& item) { return item.phase == Phase::kRetry || item.phase == Phase::kDead; };
        if (!engine.breaker_open && s_.endpoint != Endpoint::kMissing && any_item(engine, has_failed)) {
            add(Action::kOpenBreaker, e, 0);
        }
        if (engine.finding != Finding::kNone) {
            add(Action::kWriteFinding, e, 0);
            add_fault(Action::kLoseFinding, e, 0);
        }
        add(engine.reading == Reading::kNone ? Action::kRead : Action::kHaveRead, e, 0);
    }

    void add_answers(std::size_t e, const Engine& engine) {
        bool waits = false;
        for (std::size_t i = 0; i < engine.item_count; ++i) {
            if (engine.items[i].phase != Phase::kWaiting) continue;
            waits = true;
            add(Action::kAccept, e, i);
            add(Action::kRefuse, e, i);
            add(Action::kLocalFault, e, i);
            if (bounds_.endpoints) add(Action::kHold, e, i);
            if (bounds_.breakers) add(Action::kAnswerGone, e, i);
        }
        if (waits && !s_.running) add(Action::kRelease, e, 0);
    }

    void add_records(std::size_t e, const Engine& engine) {
        if (any_item(engine, is_recording)) {
            add(Action::kRecorded, e, 0);
            add_fault(Action::kLoseRecord, e, 0);
            return;
        }
        std::size_t outcomes = 0;
        for (std::size_t i = 0; i < engine.item_count; ++i) {
            if (!is_outcome(engine.items[i])) continue;
            ++outcomes;
            add(Action::kRecord, e, i);
        }
        if (outcomes > 1) add(Action::kRecord, e, kAll);
    }

    void add_overlaps(std::size_t e, std::size_t other) {
        const Engine& engine = s_.engines[e];
        const Engine& second = s_.engines[other];
        if (second.life != Life::kUp && second.life != Life::kDying) return;
        const bool may_record = !any_item(second, is_recording);
        const auto taken = reclaimable(s_, e, true);
        const bool reclaims = engine.listen_session == ListenSession::kUp;
        const auto is_taken_by_fence = [&](const Item& item) {
            const bool fenced = is_outcome(item) && item.phase != Phase::kDelivered && !is_fenced_off(s_, item);
            return fenced && taken[s_.claims[item.claim].owner];
        };
        if (reclaims && may_record && any_item(second, is_taken_by_fence)) {
            add(Action::kReclaimBehindRecord, e, other);
        }
        if (second.life != Life::kUp) return;
        if (reclaims && second.listen_session == ListenSession::kNew) {
            bool any = false;
            for (std::size_t c = 0; c < s_.claim_count; ++c) any = any || (second.open[c] != 0 && taken[s_.claims[c].owner]);
            if (any) add(Action::kReclaimBehindMove, e, other);
        }
        for (std::size_t i = 0; may_record && i < second.item_count; ++i) {
            const Item& item = second.items[i];
            const Message& row = s_.messages[item.message];
            if (item.phase != Phase::kDelivered || !row.inserted || row.sent || row.generation != item.generation) continue;
            if (row.schedule != Schedule::kNone || row.dead) continue;
            if (reclaims && is_taken(item.message, taken)) {
                if (item.claim == kGone) add(Action::kReclaimBehindSent, e, other, i);
                add(Action::kSentBehindReclaim, e, other, i);
            }
            if (fails(engine, item.message)) add(Action::kSentBehindFailure, e, other, i);
        }
    }

    bool is_taken(std::size_t message, const std::array<bool, kUndone + 1>& taken) const {
        for (std::size_t c = 0; c < s_.claim_count; ++c) {
            if (taken[s_.claims[c].owner] && is_open(s_, s_.claims[c], message)) return true;
        }
        return false;
    }

    // The engine has one outcome of the message, and its record will count the failure.
    bool fails(const Engine& engine, std::size_t message) const {
        const Message& row = s_.messages[message];
        std::size_t outcomes = 0;
        bool counted = false;
        for (std::size_t i = 0; i < engine.item_count; ++i) {
            const Item& item = engine.items[i];
            if (item.recording) return false;
            if (item.message != message || !is_outcome(item)) continue;
            ++outcomes;
            const bool failed = item.phase == Phase::kRetry || item.phase == Phase::kDead;
            counted = failed && !is_fenced_off(s_, item) && item.generation == row.generation && item.attempts > row.attempts;
        }
        return outcomes == 1 && counted;
    }

    void add(Action action, std::size_t engine, std::size_t which, std::size_t other = 0) {
        steps_.push_back(
            {action, static_cast<std::uint8_t>(engine), static_cast<std::uint8_t>(which), static_cast<std::uint8_t>(other)});
    }
    void add_fault(Action action, std::size_t engine, std::size_t which) {
        if (may_fail_) add(action, engine, which);
    }

    const State& s_;
    const Bounds& bounds_;
    bool may_fail_;
    std::vector<Step> steps_;
};

}  // namespace

std::vector<Step> steps_from(const State& state, const Bounds& bounds) { return Choice(state, bounds).all(); }

}  // namespace messaging::model
